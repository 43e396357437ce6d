package redis

import "github.com/redis/go-redis/v9"

// Each script is one compare-and-set that Redis runs atomically. The keys of one
// script share a hash tag, so that a cluster keeps them on one node. Keys that a
// script computes have the hash tag of its KEYS.
//
// A note is stored as "<version> <begun> <epoch> <created> <expires> <JSON>",
// where begun is the cursor of its BeginNote. The notes of one kind and epoch
// are a list: a sorted set of their keys, scored by the cursor of their last
// change. The lists of a visitor are a sorted set of "<kind>:<epoch>", scored by
// the last cursor of each; the highest is the visitor's last cursor. A list may
// contain the keys of notes that have expired or moved to another epoch; reading
// removes them.
//
// Earlier builds kept one index per visitor instead, a sorted set of
// "<kind>:<epoch>:<begun>:<key>" with epoch and begun in twenty digits, and the
// number of the last note begun.

// luaLists is the part that the scripts about notes share.
//
// KEYS: lists, index and last number of an earlier build. ARGV: prefix of the keys of
// notes, prefix of the keys of lists.
//
// The places of a list are a sorted set of its keys, scored by the place of each note.
// Notes of earlier builds are added to it when the places are first read.
//
// change assigns the next cursor to a note and extends the TTL of its list to at least
// that of the note. adopt replaces the index of an earlier build; only scripts that read
// the lists need it.
//
// A cursor is at least the server's time in microseconds, so that it rises even if the
// visitor was forgotten or the server has lost its latest writes.
const luaLists = `
local lists, notes, prefix = KEYS[1], ARGV[1], ARGV[2]
local places = string.sub(prefix, 1, -3) .. 'p:'

local function last()
	return tonumber(redis.call('ZREVRANGE', lists, 0, 0, 'WITHSCORES')[2] or '0')
end

local function keep(key, at, clock)
	if redis.call('PTTL', key) < tonumber(at) - clock then
		redis.call('PEXPIREAT', key, at)
	end
end

local function change(list, key, at, place)
	local t = redis.call('TIME')
	local cursor = string.format('%.0f', math.max(t[1] * 1000000 + t[2], last() + 1))
	redis.call('ZADD', prefix .. list, cursor, key)
	if redis.call('ZADD', lists, cursor, list) == 1 then
		for _, other in ipairs(redis.call('ZRANGE', lists, 0, -1)) do
			if redis.call('EXISTS', prefix .. other) == 0 then
				redis.call('ZREM', lists, other)
			end
		end
	end
	local clock = t[1] * 1000 + math.floor(t[2] / 1000)
	if place then
		redis.call('ZADD', places .. list, place, key)
		keep(places .. list, at, clock)
	end
	keep(prefix .. list, at, clock)
	keep(lists, at, clock)
	return cursor
end

local function drop(list, key)
	redis.call('ZREM', prefix .. list, key)
	redis.call('ZREM', places .. list, key)
end

local function adopt()
	if redis.call('EXISTS', KEYS[2]) == 0 then
		return
	end
	for _, member in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
		local kind, epoch, key = string.match(member, '^([^:]*):0*(%d+):%d+:(.*)$')
		local have = redis.call('GET', notes .. kind .. ':' .. key)
		if have then
			change(kind .. ':' .. epoch, key, string.match(have, '^%d+ %d+ %-?%d+ %d+ (%d+) '))
		end
	end
	redis.call('DEL', KEYS[2], KEYS[3])
end
`

// KEYS: as above, note. ARGV: as above, list, key, version, epoch, created,
// expires, JSON, place. Returns the note that existed, or nothing.
var luaBeginNote = redis.NewScript(luaLists + `
local have = redis.call('GET', KEYS[4])
if have then
	return have
end
local begun = change(ARGV[3], ARGV[4], ARGV[8], ARGV[10])
redis.call('SET', KEYS[4], table.concat({ARGV[5], begun, ARGV[6], ARGV[7], ARGV[8], ARGV[9]}, ' '), 'PXAT', ARGV[8])
return false
`)

// KEYS: as above, note. ARGV: as above, list, key, version that must be stored,
// version, epoch, expires, JSON, place. Returns when the note was created, 0 if there
// is none, or -1 if it is at another version.
var luaSaveNote = redis.NewScript(luaLists + `
local have = redis.call('GET', KEYS[4])
if not have then
	return 0
end
local version, begun, created = string.match(have, '^(%d+) (%d+) %-?%d+ (%d+) ')
if version ~= ARGV[5] then
	return -1
end
change(ARGV[3], ARGV[4], ARGV[8], ARGV[10])
redis.call('SET', KEYS[4], table.concat({ARGV[6], begun, ARGV[7], created, ARGV[8], ARGV[9]}, ' '), 'PXAT', ARGV[8])
return tonumber(created)
`)

// KEYS: as above. ARGV: as above, list, cursor. Returns the visitor's last
// cursor, then key, 0 and note of each note of the list that changed since.
var luaNotesSince = redis.NewScript(luaLists + `
adopt()
local cursor, since = last(), tonumber(ARGV[4])
local found = {string.format('%.0f', cursor)}
if since == cursor then
	return found
end
local list = prefix .. ARGV[3]
local kind, epoch = string.match(ARGV[3], '^([^:]*:)(.*)$')
for _, key in ipairs(redis.call('ZRANGEBYSCORE', list, '(' .. (since > cursor and '0' or ARGV[4]), '+inf')) do
	local have = redis.call('GET', notes .. kind .. key)
	if have and string.match(have, '^%d+ %d+ 0*(%-?%d+) ') == epoch then
		found[#found + 1] = key
		found[#found + 1] = '0'
		found[#found + 1] = have
	else
		drop(ARGV[3], key)
	end
end
return found
`)

// KEYS: as above. ARGV: as above, list, first place, place after the last, limit. Returns
// the visitor's last cursor, then key, place and note of each note of the list in that
// range of places. Notes of an earlier build have no place; it is derived from their seq
// and their body.
var luaNotesAt = redis.NewScript(luaLists + `
adopt()
local list, limit = ARGV[3], tonumber(ARGV[6])
local kind, epoch = string.match(list, '^([^:]*:)(.*)$')
local function read(key)
	local have = redis.call('GET', notes .. kind .. key)
	if have and string.match(have, '^%d+ %d+ 0*(%-?%d+) ') == epoch then
		return have
	end
	drop(list, key)
end
local function placeOf(row)
	if row.p then
		return row.p
	elseif row.s == 'held' then
		return -1
	elseif row.s ~= 'sent' and row.s ~= 'settled' then
		return 9007199254740991
	end
	local ok, body = pcall(cjson.decode, row.b or '')
	return math.max(0, (row.q or 0) - 1, ok and type(body) == 'table' and tonumber(body.after) or 0)
end
if redis.call('ZCARD', places .. list) < redis.call('ZCARD', prefix .. list) then
	for _, key in ipairs(redis.call('ZRANGE', prefix .. list, 0, -1)) do
		local have = not redis.call('ZSCORE', places .. list, key) and read(key)
		if have then
			local place = placeOf(cjson.decode(string.match(have, '^%d+ %d+ %-?%d+ %d+ %d+ (.*)$')))
			redis.call('ZADD', places .. list, string.format('%.0f', place), key)
		end
	end
	redis.call('PEXPIRE', places .. list, math.max(1, redis.call('PTTL', prefix .. list)))
end
local found, at = {string.format('%.0f', last())}, 0
while #found < 1 + 3 * limit do
	local keys = redis.call('ZRANGEBYSCORE', places .. list, ARGV[4], '(' .. ARGV[5], 'WITHSCORES', 'LIMIT', at, limit)
	if #keys == 0 then
		break
	end
	for i = 1, #keys, 2 do
		local have = read(keys[i])
		if have then
			at = at + 1
			if #found < 1 + 3 * limit then
				found[#found + 1] = keys[i]
				found[#found + 1] = string.format('%.0f', tonumber(keys[i + 1]))
				found[#found + 1] = have
			end
		end
	end
end
return found
`)

// luaDropList deletes a list and its notes. A note that has moved to another epoch
// stays.
const luaDropList = `
local function dropList(list)
	local kind, epoch = string.match(list, '^([^:]*:)(.*)$')
	for _, key in ipairs(redis.call('ZRANGE', prefix .. list, 0, -1)) do
		local have = redis.call('GET', notes .. kind .. key)
		if have and string.match(have, '^%d+ %d+ 0*(%-?%d+) ') == epoch then
			redis.call('DEL', notes .. kind .. key)
		end
	end
	redis.call('DEL', prefix .. list, places .. list)
end
`

// KEYS: as above. ARGV: as above, epoch. The list of lists keeps its entry, with
// the visitor's last cursor.
var luaForgetEpoch = redis.NewScript(luaLists + luaDropList + `
adopt()
for _, list in ipairs(redis.call('ZRANGE', lists, 0, -1)) do
	if string.match(list, ':(.*)$') == ARGV[3] then
		dropList(list)
	end
end
return 0
`)

// KEYS: as above, session. ARGV: as above.
var luaForget = redis.NewScript(luaLists + luaDropList + `
adopt()
for _, list in ipairs(redis.call('ZRANGE', lists, 0, -1)) do
	dropList(list)
end
return redis.call('DEL', lists, KEYS[4])
`)
