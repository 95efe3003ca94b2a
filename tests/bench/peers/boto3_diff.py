"""Compares two DynamoDB tables as a boto3 script does: parallel scans into dicts, then one comparison.

The client's own dicts are compared, without the resource layer's conversion to Python values: the cheaper of the two ways.
Usage: boto3_diff.py ENDPOINT TABLE OTHER_TABLE SEGMENTS
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config


def main():
    endpoint, table, other, segments = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    client = boto3.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(max_pool_connections=2 * segments),
    )

    def read(table, segment):
        items = {}
        pages = client.get_paginator("scan").paginate(
            TableName=table, Segment=segment, TotalSegments=segments, ConsistentRead=True
        )
        for page in pages:
            for item in page["Items"]:
                items[item["order_id"]["S"]] = item
        return items

    with ThreadPoolExecutor(2 * segments) as pool:
        reading = {
            name: [pool.submit(read, name, segment) for segment in range(segments)] for name in (table, other)
        }
        mine, theirs = {}, {}
        for items, parts in ((mine, reading[table]), (theirs, reading[other])):
            for part in parts:
                items.update(part.result())
    differing = sum(1 for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    print(json.dumps({"items": [len(mine), len(theirs)], "differing": differing}))


main()
