"""What runs inside Redis, so that it is done once and whole: scripts of one shard each.

KEYS[1] says which slot a script works in; all other keys begin as it does, and so are in the same slot.
"""

TAKE = """
-- Take a batch once. KEYS[1]: batches. ARGV: key prefix, run, number, number before, node, trace seconds, traces of
-- one key, then items. Returns what number is known: that of the batch, or an older one, and then nothing is taken.
local batches, p, run, number, before = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local node = ARGV[5]
if run ~= '' then
  local known = tonumber(redis.call('HGET', batches, run) or '0')
  if known >= number then return number end
  if known < before then return known end
end

local function kept(at, text)  -- tell whether an event's key is new, and keep it
  local week = math.floor(at / 604800)
  for other = week - 2, week + 2 do
    if redis.call('SISMEMBER', p .. 'seen:' .. string.format('%d:', other) .. text[1], text[2]) == 1 then
      return false
    end
  end
  local key = p .. 'seen:' .. string.format('%d:', week) .. text[1]
  redis.call('SADD', key, text[2])
  redis.call('EXPIRE', key, 2419200)
  return true
end

local function count_day(mailbox, day, column)
  -- One record a day, oldest first: day, sent, human, other; 2, 3, 3 and 3 octets. 400 days are kept, by the calendar
  -- as well as by the number of those on which anything was counted: a clock that jumped takes none away.
  local key, add = p .. 'days:' .. mailbox, {0, 0, 0}
  add[column] = 1
  local length = redis.call('STRLEN', key)
  local last = length > 0 and struct.unpack('>I2', redis.call('GETRANGE', key, length - 11, length - 10)) or -1
  if last == day then
    local _, sent, human, other = struct.unpack('>I2I3I3I3', redis.call('GETRANGE', key, length - 11, length - 1))
    local record = struct.pack('>I2I3I3I3', day, sent + add[1], human + add[2], other + add[3])
    redis.call('SETRANGE', key, length - 11, record)
  elseif last < day then
    redis.call('APPEND', key, struct.pack('>I2I3I3I3', day, add[1], add[2], add[3]))
    redis.call('ZADD', p .. 'civil', day, day)
    redis.call('ZREMRANGEBYRANK', p .. 'civil', 0, -1000)
    local oldest = length > 0 and struct.unpack('>I2', redis.call('GETRANGE', key, 0, 1)) or day
    local ended = redis.call('ZREVRANGE', p .. 'civil', 399, 399)[1]
    ended = ended and math.min(day - 400, ended - 1) or -1
    if oldest <= ended then
      local all = redis.call('GET', key)
      local start = 1
      while struct.unpack('>I2', all, start) <= ended do start = start + 11 end
      redis.call('SET', key, string.sub(all, start))
    end
  else  -- it comes late
    local all, start = redis.call('GET', key), 1
    while struct.unpack('>I2', all, start) < day do start = start + 11 end
    local known, sent, human, other = struct.unpack('>I2I3I3I3', all, start)
    local rest = start
    if known == day then rest = start + 11 else sent, human, other = 0, 0, 0 end
    local record = struct.pack('>I2I3I3I3', day, sent + add[1], human + add[2], other + add[3])
    redis.call('SET', key, string.sub(all, 1, start - 1) .. record .. string.sub(all, rest))
  end
end

local columns = {s = 1, h = 2, b = 3, a = 3, r = 3, p = 3}  -- of a day; s: people sent it. sb, sa and so on: programs
local i = 8
while i <= #ARGV do
  local kind = ARGV[i]
  if kind == 't' then
    local key = p .. 'trace:' .. ARGV[i + 1]
    if redis.call('SCARD', key) < tonumber(ARGV[7]) then redis.call('SADD', key, ARGV[i + 2]) end
    redis.call('EXPIRE', key, ARGV[6])
    i = i + 3
  elseif kind == 'o' then
    local at, key = tonumber(ARGV[i + 1]), p .. 'observed:' .. node
    redis.call('SADD', p .. 'nodes', node)  -- first what a full server refuses, so that it does nothing
    local first, last = at, at
    for _, text in ipairs(redis.call('LRANGE', key, 0, -1)) do
      local a, b = string.match(text, '(%S+) (%S+)')
      if tonumber(a) <= at + 180 and tonumber(b) >= at - 180 then
        first, last = math.min(first, tonumber(a)), math.max(last, tonumber(b))
        redis.call('LREM', key, 1, text)
      end
    end
    redis.call('RPUSH', key, string.format('%d %d', first, last))
    i = i + 2
  else
    local key, mailbox, at, octets, day = ARGV[i + 1], ARGV[i + 2], tonumber(ARGV[i + 3]), ARGV[i + 4], ARGV[i + 5]
    if kept(at, {mailbox, key}) then
      local hash = p .. 'mailbox:' .. mailbox
      local column, total = columns[kind], kind == 's' and 'so' or 'ro'
      local known = redis.call('HMGET', hash, kind, total, kind .. 'l', 's1', 'z')
      local write = {'HSET', hash, kind, string.format('%d', (known[1] or 0) + 1), 'n', node}
      local function also(field) write[#write + 1] = field; write[#write + 1] = ARGV[i + 3] end
      if column then
        write[#write + 1] = total
        write[#write + 1] = string.format('%d', (known[2] or 0) + octets)
      end
      if not known[3] or at > tonumber(known[3]) then also(kind .. 'l') end
      if kind == 's' and (not known[4] or at < tonumber(known[4])) then also('s1') end
      if not known[5] then also('z') end
      redis.call(unpack(write))
      if column then count_day(mailbox, tonumber(day), column) end
      redis.call('ZADD', p .. 'quiet:sent', kind == 's' and 'GT' or 'NX', ARGV[i + 3], mailbox)
      redis.call('ZADD', p .. 'quiet:human', (kind == 's' or kind == 'h') and 'GT' or 'NX', ARGV[i + 3], mailbox)
    end
    i = i + 6
  end
end
if run ~= '' then
  redis.call('HSET', batches, run, number)
  redis.call('ZADD', p .. 'runs', 'GT', redis.call('TIME')[1], run)
  -- Of runs that are over; but of the newest, however long ago the clock says that was.
  for _, name in ipairs(redis.call('ZRANGE', p .. 'runs', 0, -1001)) do
    if tonumber(redis.call('ZSCORE', p .. 'runs', name)) < redis.call('TIME')[1] - 2419200 then
      redis.call('HDEL', batches, name)
      redis.call('ZREM', p .. 'runs', name)
    end
  end
end
return number
"""

BEGIN = """
-- Let mailboxes' time run from then on, where it does not run from later; keep what the registry knows of them.
-- KEYS[1]: the shard's registry, a hash. ARGV: key prefix, then of each mailbox: address, time, registration as JSON
-- or '', since when its password is the default one: a time, '' for no such, '-' for as it was.
local p = ARGV[1]
for i = 2, #ARGV, 4 do
  local mailbox = ARGV[i]
  redis.call('ZADD', p .. 'quiet:sent', 'GT', ARGV[i + 1], mailbox)
  redis.call('ZADD', p .. 'quiet:human', 'GT', ARGV[i + 1], mailbox)
  local base = redis.call('HGET', p .. 'mailbox:' .. mailbox, 'z')
  if not base or tonumber(base) < tonumber(ARGV[i + 1]) then
    redis.call('HSET', p .. 'mailbox:' .. mailbox, 'z', ARGV[i + 1])
  end
  if ARGV[i + 2] ~= '' then redis.call('HSET', KEYS[1], mailbox, ARGV[i + 2]) end
  if ARGV[i + 3] == '' then redis.call('ZREM', p .. 'passwords', mailbox)
  elseif ARGV[i + 3] ~= '-' then redis.call('ZADD', p .. 'passwords', ARGV[i + 3], mailbox) end
end
return 1
"""

SENDING = """
-- Note what a login hands over, add up what it handed over of late, and let the mail pass or wait. KEYS[1]: its hash
-- of minutes (m<minute>) and quarters of an hour (q<quarter>), 4 octets each: mails and recipients that came for the
-- first time, that passed in the line's order, and beside it; and n, the number of the last new mail. :mails, a hash:
-- of each mail its number, recipients, last attempt, attempts, and 0 (passed), 1 (waits) or 2 (waits, is single).
-- :line, a sorted set: those that wait and came again, by number. ARGV: time, mail, recipients, network, limits, and
-- constants of ledger.store. What is noted of a time more than 5 minutes ahead is of a clock that was wrong, and does
-- not count; so it is with advertisements.
local at, mail, own = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local minute, limits = math.floor(at / 60), {}
local quarter = math.floor(minute / 15)
for i = 1, 7 do limits[i] = tonumber(ARGV[4 + i]) end
local kept_s, again_s, returns = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local few, beside, most, looked_at = tonumber(ARGV[15]), tonumber(ARGV[16]), tonumber(ARGV[17]), tonumber(ARGV[18])
local mails, line, networks = KEYS[1] .. ':mails', KEYS[1] .. ':line', KEYS[1] .. ':networks'
local SUMS, MAIL = '>I4I4I4I4I4I4', '>I4I4I5I4I1'

local last, this_minute, this_quarter, this_hour, drop, recent = 0, nil, nil, false, {}, 0
local b1, b2, b3, b4, b5, b6 = 0, 0, 0, 0, 0, 0
local h1, h2, h3, h4, h5, h6 = 0, 0, 0, 0, 0, 0
local d1, d2, d3, d4, d5, d6 = 0, 0, 0, 0, 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local kind, number = string.byte(all[i]), tonumber(string.sub(all[i], 2))
  if kind == 113 then  -- q
    if number <= quarter - 97 then drop[#drop + 1] = all[i]  -- a node's clock may be 5 minutes behind
    elseif number > quarter - 96 and number <= quarter + 1 then
      local n1, n2, n3, n4, n5, n6 = struct.unpack(SUMS, all[i + 1])
      d1, d2, d3, d4, d5, d6 = d1 + n1, d2 + n2, d3 + n3, d4 + n4, d5 + n5, d6 + n6
      if number == quarter then this_quarter = all[i + 1] end
    end
  elseif kind == 109 then  -- m
    if number <= minute - 66 then drop[#drop + 1] = all[i]
    elseif number > minute - 60 and number <= minute + 5 then
      local n1, n2, n3, n4, n5, n6 = struct.unpack(SUMS, all[i + 1])
      h1, h2, h3, h4, h5, h6 = h1 + n1, h2 + n2, h3 + n3, h4 + n4, h5 + n5, h6 + n6
      if number > minute - 5 then
        b1, b2, b3, b4, b5, b6 = b1 + n1, b2 + n2, b3 + n3, b4 + n4, b5 + n5, b6 + n6
      end
      if number > minute - 2 then recent = recent + n1 end
      if number == minute then this_minute = all[i + 1] end
      this_hour = this_hour or math.floor(number / 60) == math.floor(minute / 60)
    end
  else last = tonumber(all[i + 1]) end
end
local burst, hour, day = {b1, b2, b3, b4, b5, b6}, {h1, h2, h3, h4, h5, h6}, {d1, d2, d3, d4, d5, d6}
if #drop > 0 then redis.call('HDEL', KEYS[1], unpack(drop)) end

redis.call('ZADD', networks, at, ARGV[4])
local networks_count = redis.call('ZCOUNT', networks, '(' .. (at - 3600), at + 300)

local known, has_line, added = redis.call('HGET', mails, mail), redis.call('EXISTS', line) == 1, {0, 0, 0, 0, 0, 0}
local number, tried, tries, state, _
if known then
  number, _, tried, tries, state = struct.unpack(MAIL, known)
  known = tried > at - kept_s and tried <= at + 300 and not (state == 0 and tries >= returns)
end
if not known then
  number, tries, state = last + 1, 0, recent < few and 2 or 1
  added[1], added[2] = 1, own
  if has_line then redis.call('ZREM', line, mail) end
end
tries = tries + 1

local passes, waiting, largest = state == 0, 0, math.min(limits[2], limits[4], limits[6])
local left = {}  -- of the limits' mails and recipients, then of those beside the line: the least of the three windows
for i = 1, 2 do
  left[i] = math.min(limits[i] - burst[i + 2], limits[i + 2] - hour[i + 2], limits[i + 4] - day[i + 2])
  left[i + 2] = math.min(math.floor(limits[i] / beside) - burst[i + 4],
    math.floor(limits[i + 2] / beside) - hour[i + 4], math.floor(limits[i + 4] / beside) - day[i + 4])
end
if not passes and networks_count <= limits[7] then
  local before = own  -- recipients of the older ones, and of this one
  local found = has_line and left[1] > 0
  while found do
    found, waiting, before = false, 0, own
    local older = redis.call('ZRANGEBYSCORE', line, '-inf', '(' .. number, 'LIMIT', 0, left[1])
    local records = #older > 0 and redis.call('HMGET', mails, unpack(older)) or {}
    for i, record in ipairs(records) do
      local _, recipients, last = struct.unpack(MAIL, record or string.rep('\\0', 18))
      if last <= at - again_s or last > at + 300 or recipients > largest then
        redis.call('ZREM', line, older[i])
        found = true  -- another one may come into its place
      else waiting, before = waiting + 1, before + recipients end
    end
  end
  if left[1] > waiting and left[2] >= before then passes, added[3], added[4] = true, 1, own
  elseif state == 2 and left[3] > 0 and left[4] >= own then passes, added[5], added[6] = true, 1, own end
  if passes then
    tries, state = 0, 0
    if has_line then redis.call('ZREM', line, mail) end
  end
end
if state > 0 and tries > 1 then
  redis.call('ZADD', line, number, mail)
  redis.call('EXPIRE', line, 90000)
end
redis.call('HSET', mails, mail, struct.pack(MAIL, number, own, at, tries, state))

local function sum(record)
  local n1, n2, n3, n4, n5, n6 = 0, 0, 0, 0, 0, 0
  if record then n1, n2, n3, n4, n5, n6 = struct.unpack(SUMS, record) end
  return struct.pack(SUMS, n1 + added[1], n2 + added[2], n3 + added[3], n4 + added[4], n5 + added[5], n6 + added[6])
end
if added[1] + added[3] + added[5] > 0 then
  redis.call('HSET', KEYS[1], string.format('m%d', minute), sum(this_minute),
    string.format('q%d', quarter), sum(this_quarter), 'n', math.max(last, number))
end
if not this_hour then
  redis.call('ZREMRANGEBYSCORE', networks, '-inf', at - 3900)
  redis.call('EXPIRE', KEYS[1], 90000)
  redis.call('EXPIRE', mails, 90000)
  redis.call('EXPIRE', networks, 7200)
end

if not this_hour or not known and day[1] >= most and day[1] % looked_at == 0 and redis.call('HLEN', mails) > most then
  local old, rest = {}, {}
  all = redis.call('HGETALL', mails)
  for i = 1, #all, 2 do
    local number, _, last = struct.unpack(MAIL, all[i + 1])
    if last <= at - kept_s or last > at + 300 then old[#old + 1] = all[i]
    else rest[#rest + 1] = {last, number, all[i]} end
  end
  if #rest > most then
    table.sort(rest, function(a, b) if a[1] == b[1] then return a[2] < b[2] end return a[1] < b[1] end)
    for i = 1, #rest - math.floor(most / 2) do old[#old + 1] = rest[i][3] end
  end
  if #old > 0 then
    redis.call('HDEL', mails, unpack(old))
    redis.call('ZREM', line, unpack(old))
  end
end
local answer = {waiting, passes and 1 or 0}
for i = 1, 3, 2 do
  for _, sums in ipairs({burst, hour, day}) do
    answer[#answer + 1] = sums[i] + added[i]
    answer[#answer + 1] = sums[i + 1] + added[i + 1]
  end
end
answer[#answer + 1] = networks_count
return answer
"""

ADVERTISED = """
-- Note an advertisement, and count those of its advertiser to its recipient. KEYS[1]: their sorted set. ARGV: time,
-- key, seconds that count, the most that are kept.
redis.call('ZADD', KEYS[1], 'NX', ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.6f', ARGV[1] - ARGV[3]))
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[3] + 3600)
return redis.call('ZCOUNT', KEYS[1], '-inf', string.format('%.6f', ARGV[1] + 300))
"""

EXEMPT = """
-- Keep an exemption under the next number. KEYS: exemptions, last number, version. ARGV: the exemption as JSON.
local number = redis.call('INCR', KEYS[2])
local exemption = cjson.decode(ARGV[1])
redis.call('HSET', KEYS[1], number, ARGV[1])
redis.call('INCR', KEYS[3])
return number
"""

SET_STATE = """
-- Set a state. KEYS: states, changes, version. ARGV: address, the state as JSON.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('RPUSH', KEYS[2], ARGV[2])
return redis.call('INCR', KEYS[3])
"""

UNEXEMPT = """
-- Remove an exemption. KEYS: exemptions, version. ARGV: its number.
redis.call('INCR', KEYS[2])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
