# First run: the originals are forgotten. The plan must say: 0 to destroy.

# Store orders: the table orders. Put the address that your configuration has for it; its resource block goes.
removed {
  from = aws_dynamodb_table.orders

  lifecycle {
    destroy = false
  }
}

# Store media: the bucket media.2026. Put the address that your configuration has for it; its resource block goes.
removed {
  from = aws_s3_bucket.media_2026

  lifecycle {
    destroy = false
  }
}

# Store ledger: the instance ledger. Put the address that your configuration has for it; its resource block goes.
removed {
  from = aws_db_instance.ledger

  lifecycle {
    destroy = false
  }
}

# Store books: the cluster books. Put the address that your configuration has for it; its resource block goes.
removed {
  from = aws_rds_cluster.books

  lifecycle {
    destroy = false
  }
}
