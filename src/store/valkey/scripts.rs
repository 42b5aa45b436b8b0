//! The changes of the table, in Lua: the server runs each as a whole or not at all.

/// Stores a record if the one that is there has the expected revision; none, if that is empty. Arguments: prefix, channel, id,
/// expected revision, record, seconds until the server deletes it, user and id, end, time of the change, how far ahead `newest`
/// may be, and what a new table has in `meta`: this one may have been emptied.
pub(super) const PUT: &str = r"
local p, id = ARGV[1], ARGV[3]
local old = redis.call('GET', p..'grant:'..id)
if (old and string.match(old, '^%d+') or '') ~= ARGV[4] then return 0 end
redis.call('SET', p..'grant:'..id, ARGV[5], 'EX', ARGV[6])
redis.call('ZADD', p..'by_user', 0, ARGV[7])
redis.call('ZADD', p..'by_end', ARGV[8], ARGV[7])
local newest, time = tonumber(redis.call('HGET', p..'meta', 'newest') or '0'), tonumber(ARGV[9])
if newest < time or newest > time + tonumber(ARGV[10]) then redis.call('HSET', p..'meta', 'newest', ARGV[9]) end
redis.call('HSETNX', p..'meta', 'schema', ARGV[11]); redis.call('HSETNX', p..'meta', 'key_check', ARGV[12])
if old then redis.call('PUBLISH', ARGV[2], id) end
return 1";

/// Deletes records and their entries in the indices; returns the ids of those that there were. Arguments: prefix, channel, and of
/// each record its id, the only revision to be deleted or `*`, and its entry, which is looked for if the record is there.
pub(super) const DELETE: &str = r"
local p, gone = ARGV[1], {}
for i = 3, #ARGV, 3 do
  local id, revision, entry = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local old = redis.call('GET', p..'grant:'..id)
  local has, user = string.match(old or '', '^(%d+) (%d+) ')
  if user then entry = user..':'..id end
  if not old or revision == '*' or revision == has then
    redis.call('ZREM', p..'by_user', entry)
    redis.call('ZREM', p..'by_end', entry)
    if redis.call('DEL', p..'grant:'..id) == 1 then gone[#gone + 1] = id end
    redis.call('PUBLISH', ARGV[2], id)
  end
end
return gone";
