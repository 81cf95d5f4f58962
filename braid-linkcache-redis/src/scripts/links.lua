-- Some of a node's live links in a bucket.
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now()), '+inf', 'LIMIT', 0, ARGV[1])
