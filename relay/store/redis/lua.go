package redis

import "github.com/redis/go-redis/v9"

// Each script is one compare-and-set that Redis runs atomically. The keys of one
// script share a hash tag, so that a cluster keeps them on one node. Keys that a
// script computes have the hash tag of its KEYS.
//
// Of a session they look at how it begins, which is its version. A note is
// "<version> <order> <epoch> <created> <expires> <JSON>", and its visitor's
// index has a member "<kind>:<epoch>:<order>:<key>" for it, with epoch and
// order in twenty digits so that the order of the bytes is the order of the
// notes. An index may name notes that have expired or moved on; whoever reads
// it takes those out.

// luaKeep extends the TTL of a key to a time at least.
const luaKeep = `
local function keep(key, at)
	local t = redis.call('TIME')
	local left = redis.call('PTTL', key)
	if left < tonumber(at) - (t[1] * 1000 + math.floor(t[2] / 1000)) then
		redis.call('PEXPIREAT', key, at)
	end
end
`

// KEYS: note, index, order. ARGV: version, epoch, created, expires, JSON, kind,
// key. Returns the note that was there, or nothing.
var luaBeginNote = redis.NewScript(luaKeep + `
local have = redis.call('GET', KEYS[1])
if have then
	return have
end
local order = string.format('%020.0f', redis.call('INCR', KEYS[3]))
redis.call('SET', KEYS[1], table.concat({ARGV[1], order, ARGV[2], ARGV[3], ARGV[4], ARGV[5]}, ' '), 'PXAT', ARGV[4])
redis.call('ZADD', KEYS[2], 0, table.concat({ARGV[6], ARGV[2], order, ARGV[7]}, ':'))
keep(KEYS[2], ARGV[4])
keep(KEYS[3], ARGV[4])
return false
`)

// KEYS: note, index, order. ARGV: version it must be at, version, epoch,
// expires, JSON, kind, key. Returns when the note was created, 0 if there is
// none, -1 if it is at another version.
var luaSaveNote = redis.NewScript(luaKeep + `
local have = redis.call('GET', KEYS[1])
if not have then
	return 0
end
local version, order, created = string.match(have, '^(%d+) (%d+) %d+ (%d+) ')
if version ~= ARGV[1] then
	return -1
end
redis.call('SET', KEYS[1], table.concat({ARGV[2], order, ARGV[3], created, ARGV[4], ARGV[5]}, ' '), 'PXAT', ARGV[4])
redis.call('ZADD', KEYS[2], 0, table.concat({ARGV[6], ARGV[3], order, ARGV[7]}, ':'))
keep(KEYS[2], ARGV[4])
keep(KEYS[3], ARGV[4])
return tonumber(created)
`)

// KEYS: index. ARGV: the range of members, what precedes a note's key. Returns
// keys and notes by turns.
var luaNotes = redis.NewScript(`
local found = {}
for _, member in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2])) do
	local epoch, order, key = string.match(member, '^[^:]*:(%d+):(%d+):(.*)$')
	local have = redis.call('GET', ARGV[3] .. key)
	if have and string.find(have, ' ' .. order .. ' ' .. epoch .. ' ', 1, true) == string.find(have, ' ', 1, true) then
		found[#found + 1] = key
		found[#found + 1] = have
	else
		redis.call('ZREM', KEYS[1], member)
	end
end
return found
`)

// KEYS: session, index, order. ARGV: what precedes a note's kind.
var luaForget = redis.NewScript(`
for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
	local kind, key = string.match(member, '^([^:]*):%d+:%d+:(.*)$')
	redis.call('DEL', ARGV[1] .. kind .. ':' .. key)
end
return redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
`)
