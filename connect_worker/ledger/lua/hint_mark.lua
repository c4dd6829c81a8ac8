-- Return the mark of a change hint's last notification; '' when no hint is stored. ARGV[2] name
return redis.call('HGET', base .. 'hints', ARGV[2]) or ''
