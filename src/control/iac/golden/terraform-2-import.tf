# Second run: the copies are adopted. The plan must say: 0 to destroy, and replace nothing.

# Store orders: the table orders-restored, whose new name the resource block must have.
import {
  to = aws_dynamodb_table.orders
  id = "orders-restored"
}

# Store media: the bucket media.2026-restored, whose new name the resource block must have.
import {
  to = aws_s3_bucket.media_2026
  id = "media.2026-restored"
}

# Store ledger: the instance ledger-restored, once it is renamed to ledger.
import {
  to = aws_db_instance.ledger
  id = "ledger"
}

# Store books: the cluster books-restored, once it is renamed to books.
import {
  to = aws_rds_cluster.books
  id = "books"
}

# Store books: an instance of that cluster. Its own address is yours.
import {
  to = aws_rds_cluster_instance.books_restored_1
  id = "books-restored-1"
}

# Store books: an instance of that cluster. Its own address is yours.
import {
  to = aws_rds_cluster_instance.books_restored_2
  id = "books-restored-2"
}
