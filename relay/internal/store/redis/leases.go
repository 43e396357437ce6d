package redis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/anyframe-relay/relay/relay/internal/store"
)

// KEYS: lease, fence. ARGV: owner, ttl, ttl of the fence. Returns the fence, or
// 0 if another owner holds the lease. A fence is at least the server's time in
// microseconds, so that it rises even if the server has lost its last writes.
var luaAcquire = redis.NewScript(`
local have = redis.call('GET', KEYS[1])
if have then
	local fence, owner = string.match(have, '^(%d+) (.*)$')
	if owner ~= ARGV[1] then
		return 0
	end
	redis.call('PEXPIRE', KEYS[1], ARGV[2])
	return tonumber(fence)
end
local t = redis.call('TIME')
local fence = math.max(t[1] * 1000000 + t[2], tonumber(redis.call('GET', KEYS[2]) or '0') + 1)
local digits = string.format('%.0f', fence)
redis.call('SET', KEYS[1], digits .. ' ' .. ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], digits, 'PX', ARGV[3])
return fence
`)

// KEYS: lease. ARGV: owner.
var luaRelease = redis.NewScript(`
local have = redis.call('GET', KEYS[1])
if have and string.match(have, '^%d+ (.*)$') == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0
`)

// Acquire implements [store.Store].
func (s *Store) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (fence int64, ok bool, err error) {
	if ttl <= 0 {
		return 0, false, store.ErrExpired
	}
	fence, err = s.run(ctx, "acquire lease", luaAcquire, []string{s.leaseKey(name), s.fenceKey()},
		owner, max(ttl, time.Millisecond).Milliseconds(), fenceMemory.Milliseconds())
	return fence, fence > 0, err
}

// Release implements [store.Store].
func (s *Store) Release(ctx context.Context, name, owner string) error {
	_, err := s.run(ctx, "release lease", luaRelease, []string{s.leaseKey(name)}, owner)
	return err
}
