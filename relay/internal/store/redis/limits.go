package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/redis/go-redis/v9"
)

// luaClock reads the server's time in milliseconds, so that all relays use one
// clock.
const luaClock = `
local t = redis.call('TIME')
local clock = t[1] * 1000 + math.floor(t[2] / 1000)
`

// luaQuota implements the methods of [store.Quota]. A quota is stored as "<start>
// <current> <previous>".
//
// KEYS: quota. ARGV: take, look or give; n; limit; window in milliseconds. Returns the
// milliseconds to wait.
var luaQuota = redis.NewScript(luaClock + `
local n, limit, length = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local begun, now, last = 0, 0, 0
local have = redis.call('GET', KEYS[1])
if have then
	begun, now, last = string.match(have, '^(%d+) (%d+) (%d+)$')
	begun, now, last = tonumber(begun), tonumber(now), tonumber(last)
end
local start = clock - clock % length
if start == begun + length then
	now, last = 0, now
elseif start > begun then
	now, last = 0, 0
end
if ARGV[1] == 'give' then
	local recent = math.min(now, n)
	now, last = now - recent, last - math.min(last, n - recent)
else
	local room = limit - n
	local function sight(last, room)
		if last == 0 or room >= last then
			return 0
		end
		return length - math.floor(room * length / last)
	end
	local wait = sight(last, room - now) - (clock - start)
	if now > room then
		wait = length - (clock - start) + sight(now, room)
	end
	if wait > 0 then
		return wait
	end
	if ARGV[1] == 'look' then
		return 0
	end
	now = now + n
end
redis.call('SET', KEYS[1], string.format('%.0f %.0f %.0f', start, now, last), 'PXAT', string.format('%.0f', start + 2 * length))
return 0
`)

// KEYS: counter. ARGV: n, limit, expiry. Returns the total, and 1 if n was added.
var luaCount = redis.NewScript(`
local total, n, limit = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1]), tonumber(ARGV[2])
if n > 0 and limit > 0 and total + n > limit then
	return {total, 0}
end
if n ~= 0 then
	total = math.max(total + n, 0)
	redis.call('SET', KEYS[1], string.format('%.0f', total), 'PXAT', ARGV[3])
end
return {total, 1}
`)

// luaAwake removes expired sandboxes. The expiries and ranks of awake sandboxes are in
// two sorted sets, their tickets in a hash.
const luaAwake = luaClock + `
local expiries, ranks, tickets = KEYS[1], KEYS[2], KEYS[3]
for _, visitor in ipairs(redis.call('ZRANGEBYSCORE', expiries, '-inf', clock)) do
	redis.call('ZREM', expiries, visitor)
	redis.call('ZREM', ranks, visitor)
	redis.call('HDEL', tickets, visitor)
end
`

// KEYS: expiries, ranks, tickets, last ticket. ARGV: limit, ttl, ttl of the last
// ticket, then alternating visitors and ranks. Returns their tickets, or 0 where
// the limit is reached. Like a fence, a ticket is at least the server's time.
var luaAdmit = redis.NewScript(luaAwake + `
local limit, got = tonumber(ARGV[1]), {}
for i = 4, #ARGV, 2 do
	local visitor = ARGV[i]
	local ticket = redis.call('HGET', tickets, visitor)
	if not ticket and (limit == 0 or redis.call('ZCARD', expiries) < limit) then
		ticket = math.max(t[1] * 1000000 + t[2], tonumber(redis.call('GET', KEYS[4]) or '0') + 1)
		ticket = string.format('%.0f', ticket)
		redis.call('SET', KEYS[4], ticket, 'PX', ARGV[3])
		redis.call('HSET', tickets, visitor, ticket)
	end
	if ticket then
		redis.call('ZADD', expiries, clock + ARGV[2], visitor)
		redis.call('ZADD', ranks, ARGV[i + 1], visitor)
	end
	got[#got + 1] = tonumber(ticket or 0)
end
for i = 1, 3 do
	if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then
		redis.call('PEXPIRE', KEYS[i], ARGV[2])
	end
end
return got
`)

// KEYS: as above. ARGV: visitor, ticket.
var luaLeave = redis.NewScript(`
if redis.call('HGET', KEYS[3], ARGV[1]) == ARGV[2] then
	redis.call('ZREM', KEYS[1], ARGV[1])
	redis.call('ZREM', KEYS[2], ARGV[1])
	return redis.call('HDEL', KEYS[3], ARGV[1])
end
return 0
`)

// KEYS: as above. ARGV: upper bound of the rank, maximum number. Returns
// visitor, rank and ticket of each.
var luaIdlest = redis.NewScript(luaAwake + `
local found = {}
local rows = redis.call('ZRANGEBYSCORE', ranks, '-inf', '(' .. ARGV[1], 'WITHSCORES', 'LIMIT', 0, ARGV[2])
for i = 1, #rows, 2 do
	found[#found + 1] = rows[i]
	found[#found + 1] = string.format('%.0f', rows[i + 1])
	found[#found + 1] = redis.call('HGET', tickets, rows[i])
end
return found
`)

// KEYS: as above.
var luaCountAwake = redis.NewScript(luaAwake + `return redis.call('ZCARD', expiries)`)

func (s *Store) quotaKey(key string) string { return s.prefix + "q:" + key }

func (s *Store) awakeKeys() []string {
	tag := s.prefix + "{awake}"
	return []string{tag + "x", tag + "r", tag + "t", tag + "n"}
}

// quota runs [luaQuota] and returns how long to wait.
func (s *Store) quota(ctx context.Context, doing, op, key string, n, limit int, window time.Duration) (time.Duration, error) {
	ms, err := s.run(ctx, doing, luaQuota, []string{s.quotaKey(key)}, op, n, limit, max(window.Milliseconds(), 1))
	return time.Duration(ms) * time.Millisecond, err
}

// Take implements [store.Store].
func (s *Store) Take(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	return s.quota(ctx, "take of a quota", "take", key, n, limit, window)
}

// Look implements [store.Store].
func (s *Store) Look(ctx context.Context, key string, n, limit int, window time.Duration) (time.Duration, error) {
	return s.quota(ctx, "look at a quota", "look", key, n, limit, window)
}

// GiveBack implements [store.Store].
func (s *Store) GiveBack(ctx context.Context, key string, n int, window time.Duration) error {
	_, err := s.quota(ctx, "give back to a quota", "give", key, n, 0, window)
	return err
}

// Count implements [store.Store].
func (s *Store) Count(ctx context.Context, key string, n, limit int, until time.Time) (total int, ok bool, err error) {
	if !until.After(time.Now()) {
		return 0, false, store.ErrExpired
	}
	var got []int64
	err = s.call(ctx, "count", func() error {
		got, err = luaCount.Run(ctx, s.client, []string{s.prefix + "n:" + key}, n, max(limit, 0), until.UnixMilli()).Int64Slice()
		return err
	})
	if err == nil && len(got) != 2 {
		err = fmt.Errorf("store: count: got %d numbers, want 2", len(got))
	}
	if err != nil {
		return 0, false, err
	}
	return int(got[0]), got[1] == 1, nil
}

// Admit implements [store.Store].
func (s *Store) Admit(ctx context.Context, visitor string, rank int64, limit int, ttl time.Duration) (ticket int64, ok bool, err error) {
	tickets, err := s.admit(ctx, []store.Awake{{Visitor: visitor, Rank: rank}}, limit, ttl)
	if err != nil {
		return 0, false, err
	}
	return tickets[0], tickets[0] > 0, nil
}

// AdmitAll implements [store.Store].
func (s *Store) AdmitAll(ctx context.Context, all []store.Awake, ttl time.Duration) ([]int64, error) {
	return s.admit(ctx, all, 0, ttl)
}

func (s *Store) admit(ctx context.Context, all []store.Awake, limit int, ttl time.Duration) (tickets []int64, err error) {
	if ttl <= 0 {
		return nil, store.ErrExpired
	}
	args := []any{max(limit, 0), max(ttl, time.Millisecond).Milliseconds(), fenceMemory.Milliseconds()}
	for _, a := range all {
		args = append(args, a.Visitor, a.Rank)
	}
	err = s.call(ctx, "admit", func() error {
		tickets, err = luaAdmit.Run(ctx, s.client, s.awakeKeys(), args...).Int64Slice()
		return err
	})
	if err == nil && len(tickets) != len(all) {
		err = fmt.Errorf("store: admit: got %d tickets for %d sandboxes", len(tickets), len(all))
	}
	return tickets, err
}

// Leave implements [store.Store].
func (s *Store) Leave(ctx context.Context, visitor string, ticket int64) error {
	_, err := s.run(ctx, "leave", luaLeave, s.awakeKeys(), visitor, ticket)
	return err
}

// Idlest implements [store.Store].
func (s *Store) Idlest(ctx context.Context, below int64, n int) ([]store.Awake, error) {
	var rows []string
	err := s.call(ctx, "find the idlest", func() (err error) {
		rows, err = luaIdlest.Run(ctx, s.client, s.awakeKeys(), below, n).StringSlice()
		return err
	})
	if err != nil {
		return nil, err
	}
	var all []store.Awake
	for i := 0; i+2 < len(rows); i += 3 {
		rank, rankErr := strconv.ParseInt(rows[i+1], 10, 64)
		ticket, ticketErr := strconv.ParseInt(rows[i+2], 10, 64)
		if rankErr != nil || ticketErr != nil {
			return nil, fmt.Errorf("store: find the idlest: %q is not readable", rows[i+1:i+3])
		}
		all = append(all, store.Awake{Visitor: rows[i], Rank: rank, Ticket: ticket})
	}
	return all, nil
}

// CountAwake implements [store.Store].
func (s *Store) CountAwake(ctx context.Context) (int, error) {
	n, err := s.run(ctx, "count the awake", luaCountAwake, s.awakeKeys())
	return int(n), err
}

// Shared implements [store.Store].
func (s *Store) Shared() bool { return true }
