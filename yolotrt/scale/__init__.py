"""Work for more than one process or machine: batches in shards, a service, repositories for other servers."""
