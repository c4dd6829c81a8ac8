-- Return the mark of a name's last notification; '' when nobody has to look. ARGV[2] name
return redis.call('HGET', base .. 'hints', ARGV[2]) or ''
