// The numbers a page is judged by.
(() => {
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const parts = colour => (colour.match(/[\d.]+/g) || []).map(Number);
  const ground = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest('title,desc')) continue;
    const svg = element.closest('svg'), style = getComputedStyle(element);
    const size = parseFloat(style.fontSize) * (svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1);
    const [one, two] = [luminance(parts(svg ? style.fill : style.color)), luminance(ground(element))].sort((a, b) => b - a);
    texts.push({ size, contrast: (one + .05) / (two + .05), text: walker.currentNode.data.trim().slice(0, 40) });
  }
  const least = by => texts.reduce((a, b) => a[by] < b[by] ? a : b);
  const root = document.documentElement;
  return {
    overflow: root.scrollWidth - root.clientWidth,
    answer: document.querySelector('#answer').getBoundingClientRect().bottom,
    paper: luminance(parts(getComputedStyle(document.body).backgroundColor)),
    smallest: least('size'), palest: least('contrast'), texts: texts.length,
    scripts: document.querySelectorAll('script,img,link,iframe').length,
    unnamed: [...document.querySelectorAll('svg')].filter(svg => !svg.querySelector('title')?.textContent
      || !svg.querySelector('desc')?.textContent).length,
    ids: [...document.querySelectorAll('[id]')].length - new Set([...document.querySelectorAll('[id]')].map(e => e.id)).size,
    broken: [...document.querySelectorAll('a[href^="#"]')].filter(a => !document.getElementById(decodeURIComponent(a.hash.slice(1)))).length,
    charts: document.querySelectorAll('svg').length,
    folded: [...document.querySelectorAll('details > :not(summary)')].filter(e => !e.checkVisibility({ contentVisibilityAuto: true })).length,
    wide: [...document.querySelectorAll('main section > *')].filter(e => e.getBoundingClientRect().right > root.clientWidth + 1).length,
  };
})()
