-- How many live links a node has in a bucket.
return redis.call('ZCOUNT', KEYS[1], '(' .. text(now()), '+inf')
