package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// The records of a kind are one hash and four sorted sets, which share a hash tag with
// the kind's revision. A record is stored as "<version> <due> <expires> <updated> <length
// of the owner> <owner><body>", with "-" for an unset time. None of these keys has a TTL:
// the sorted set of expiries shows what has expired, and every call deletes some of it.
//
// KEYS: records by key, keys, owners and keys, dues, expiries, revision.
const luaRecords = luaClock + `
local rows, keys, owners, dues, expiries, revision = unpack(KEYS)

local function remove(key, have)
	local owner = string.match(have, '^%d+ %S+ %S+ %d+ (%d+ .*)$')
	local length, rest = string.match(owner, '^(%d+) (.*)$')
	redis.call('HDEL', rows, key)
	redis.call('ZREM', keys, key)
	redis.call('ZREM', owners, string.sub(rest, 1, tonumber(length)) .. '\0' .. key)
	redis.call('ZREM', dues, key)
	redis.call('ZREM', expiries, key)
end

for _, key in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', clock, 'LIMIT', 0, 64)) do
	remove(key, redis.call('HGET', rows, key))
end

local function live(key)
	local have = redis.call('HGET', rows, key)
	if have then
		local expires = string.match(have, '^%d+ %S+ (%S+) ')
		if expires == '-' or tonumber(expires) > clock then
			return have
		end
	end
end

local function changed()
	local next = math.max(t[1] * 1000000 + t[2], tonumber(redis.call('GET', revision) or '0') + 1)
	redis.call('SET', revision, string.format('%.0f', next))
end
`

// KEYS: as above. ARGV: key.
var luaRecord = redis.NewScript(luaRecords + `return live(ARGV[1])`)

// KEYS: as above. ARGV: key, version that must be stored or 0, owner, due or -,
// expires or -, record. Returns 1, or 0 if another version is stored.
var luaSaveRecord = redis.NewScript(luaRecords + `
local key, have = ARGV[1], live(ARGV[1])
if (have and string.match(have, '^%d+') or '0') ~= ARGV[2] then
	return 0
end
local old = redis.call('HGET', rows, key)
if old then
	remove(key, old)
end
redis.call('HSET', rows, key, ARGV[6])
redis.call('ZADD', keys, 0, key)
redis.call('ZADD', owners, 0, ARGV[3] .. '\0' .. key)
if ARGV[4] ~= '-' then
	redis.call('ZADD', dues, ARGV[4], key)
end
if ARGV[5] ~= '-' then
	redis.call('ZADD', expiries, ARGV[5], key)
end
changed()
return 1
`)

// KEYS: as above. ARGV: key, version. Returns 1, or 0 if another version is stored.
var luaDeleteRecord = redis.NewScript(luaRecords + `
local have = live(ARGV[1])
if have and string.match(have, '^%d+') ~= ARGV[2] then
	return 0
end
if have then
	remove(ARGV[1], have)
	changed()
end
return 1
`)

// KEYS: as above. ARGV: number of the set in KEYS, length of the prefix before the key in
// its members, first and last member, limit. Returns key and record of each.
var luaListRecords = redis.NewScript(luaRecords + `
local set, skip, from, limit, found = KEYS[tonumber(ARGV[1])], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[5]), {}
while #found < 2 * limit do
	local members = redis.call('ZRANGEBYLEX', set, from, ARGV[4], 'LIMIT', 0, limit)
	if #members == 0 then
		break
	end
	for _, member in ipairs(members) do
		local key = string.sub(member, skip + 1)
		local have = #found < 2 * limit and live(key)
		if have then
			found[#found + 1] = key
			found[#found + 1] = have
		end
	end
	from = '(' .. members[#members]
end
return found
`)

// KEYS: as above. ARGV: command, first and last due, limit. Returns key and record of
// each, and additionally as many as share the due of the first.
var luaRecordsByDue = redis.NewScript(luaRecords + `
local limit, found, at = tonumber(ARGV[4]), {}, 0
if ARGV[1] == 'ZREVRANGEBYSCORE' and ARGV[2] ~= '+inf' then
	limit = limit + redis.call('ZCOUNT', dues, ARGV[2], ARGV[2])
end
while #found < 2 * limit do
	local members = redis.call(ARGV[1], dues, ARGV[2], ARGV[3], 'LIMIT', at, limit)
	if #members == 0 then
		break
	end
	at = at + #members
	for _, key in ipairs(members) do
		local have = #found < 2 * limit and live(key)
		if have then
			found[#found + 1] = key
			found[#found + 1] = have
		end
	end
end
return found
`)

// KEYS: as above. ARGV: last due, or +inf for all records.
var luaCountRecords = redis.NewScript(luaRecords + `
if ARGV[1] == '+inf' then
	return redis.call('ZCARD', keys)
end
return redis.call('ZCOUNT', dues, '-inf', ARGV[1])
`)

func (s *Store) recordKeys(kind string) []string {
	tag := s.prefix + "{r:" + escape(kind) + "}"
	return []string{tag + "r", tag + "k", tag + "o", tag + "d", tag + "x", tag + "v"}
}

func millisOrNone(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return strconv.FormatInt(t.UnixMilli(), 10)
}

func packRecord(r store.Record) string {
	return fmt.Sprintf("%d %s %s %d %d %s%s", r.Version, millisOrNone(r.Due), millisOrNone(r.ExpiresAt),
		r.UpdatedAt.UnixMilli(), len(r.Owner), r.Owner, r.Body)
}

var errRecordBroken = errors.New("store: a record is not readable")

func unpackRecord(kind, key, raw string) (store.Record, error) {
	part := strings.SplitN(raw, " ", 6)
	if len(part) != 6 {
		return store.Record{}, errRecordBroken
	}
	var numbers [5]int64
	for i := range numbers {
		if part[i] == "-" {
			continue
		}
		var err error
		if numbers[i], err = strconv.ParseInt(part[i], 10, 64); err != nil {
			return store.Record{}, errRecordBroken
		}
	}
	length, rest := numbers[4], part[5]
	if length < 0 || length > int64(len(rest)) {
		return store.Record{}, errRecordBroken
	}
	r := store.Record{
		Kind: kind, Key: key, Owner: rest[:length], Body: rest[length:],
		UpdatedAt: store.FromMillis(numbers[3]), Version: numbers[0],
	}
	if part[1] != "-" {
		r.Due = store.FromMillis(numbers[1])
	}
	if part[2] != "-" {
		r.ExpiresAt = store.FromMillis(numbers[2])
	}
	return r, nil
}

// Record implements [store.Store].
func (s *Store) Record(ctx context.Context, kind, key string) (store.Record, error) {
	var raw string
	err := s.call(ctx, "read record", func() (err error) {
		raw, err = luaRecord.Run(ctx, s.client, s.recordKeys(kind), key).Text()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return store.Record{}, store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, err
	}
	return unpackRecord(kind, key, raw)
}

// SaveRecord implements [store.Store].
func (s *Store) SaveRecord(ctx context.Context, r store.Record) (store.Record, error) {
	old := r.Version
	r, err := r.Ready(time.Now())
	if err != nil {
		return store.Record{}, err
	}
	saved, err := s.run(ctx, "save record", luaSaveRecord, s.recordKeys(r.Kind),
		r.Key, old, r.Owner, millisOrNone(r.Due), millisOrNone(r.ExpiresAt), packRecord(r))
	if err != nil {
		return store.Record{}, err
	}
	if saved == 0 {
		return store.Record{}, store.ErrConflict
	}
	return r, nil
}

// DeleteRecord implements [store.Store].
func (s *Store) DeleteRecord(ctx context.Context, kind, key string, version int64) error {
	deleted, err := s.run(ctx, "delete record", luaDeleteRecord, s.recordKeys(kind), key, version)
	if err == nil && deleted == 0 {
		err = store.ErrConflict
	}
	return err
}

// Records implements [store.Store].
func (s *Store) Records(ctx context.Context, kind, after string, limit int) ([]store.Record, error) {
	from := "-"
	if after != "" {
		from = "(" + after
	}
	return s.listRecords(ctx, kind, luaListRecords, limit, 2, 0, from, "+", limit)
}

// RecordsOf implements [store.Store].
func (s *Store) RecordsOf(ctx context.Context, kind, owner, after string, limit int) ([]store.Record, error) {
	return s.listRecords(ctx, kind, luaListRecords, limit, 3, len(owner)+1, "("+owner+"\x00"+after, "("+owner+"\x01", limit)
}

// RecordsDue implements [store.Store].
func (s *Store) RecordsDue(ctx context.Context, kind string, until time.Time, limit int) ([]store.Record, error) {
	return s.listRecords(ctx, kind, luaRecordsByDue, limit, "ZRANGEBYSCORE", "-inf", until.UnixMilli(), limit)
}

// RecordsLatest implements [store.Store].
func (s *Store) RecordsLatest(ctx context.Context, kind string, due time.Time, key string, limit int) ([]store.Record, error) {
	first := "+inf"
	if !due.IsZero() {
		first = millisOrNone(due)
	}
	all, err := s.listRecords(ctx, kind, luaRecordsByDue, limit, "ZREVRANGEBYSCORE", first, "-inf", limit)
	if err != nil {
		return nil, err
	}
	var found []store.Record
	for _, r := range all {
		if len(found) == limit {
			break
		}
		if due.IsZero() || r.Due.UnixMilli() != due.UnixMilli() || r.Key < key {
			found = append(found, r)
		}
	}
	return found, nil
}

func (s *Store) listRecords(ctx context.Context, kind string, script *redis.Script, limit int, args ...any) ([]store.Record, error) {
	if limit <= 0 {
		return nil, ctx.Err()
	}
	var raw []string
	err := s.call(ctx, "list records", func() (err error) {
		raw, err = script.Run(ctx, s.client, s.recordKeys(kind), args...).StringSlice()
		return err
	})
	if err != nil {
		return nil, err
	}
	found := make([]store.Record, 0, len(raw)/2)
	for i := 0; i+1 < len(raw); i += 2 {
		r, err := unpackRecord(kind, raw[i], raw[i+1])
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// CountRecords implements [store.Store].
func (s *Store) CountRecords(ctx context.Context, kind string, until time.Time) (int, error) {
	last := "+inf"
	if !until.IsZero() {
		last = millisOrNone(until)
	}
	n, err := s.run(ctx, "count records", luaCountRecords, s.recordKeys(kind), last)
	return int(n), err
}

// RecordsRevision implements [store.Store].
func (s *Store) RecordsRevision(ctx context.Context, kind string) (revision int64, err error) {
	err = s.call(ctx, "read revision", func() (err error) {
		revision, err = s.client.Get(ctx, s.recordKeys(kind)[5]).Int64()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return revision, err
}
