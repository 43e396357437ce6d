package redis

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/store"
	"github.com/redis/go-redis/v9"
)

// A session is stored as its format, eight bytes of version, and the rest as varints. The
// format is compact because Redis embeds a value of up to 44 bytes in its object, and
// there is a session for every visitor who has written. Earlier builds stored "<version>
// <JSON>".
const (
	sessionFormat = 1
	sessionHead   = 1 + 8 // format and version

	uuidBytes = 16
)

// sessionStates are the states that take a single byte. Their order is part of
// the format: append only.
var sessionStates = []string{"", "none", "booting", "running", "sleeping", "failed", "ended", "void"}

var errSessionFormat = errors.New("is of a format that this relay does not know: a newer one wrote it")

var errSessionBroken = errors.New("is not readable")

// headOf returns the first bytes of a packed session with this version.
func headOf(version int64) []byte {
	return binary.BigEndian.AppendUint64([]byte{sessionFormat}, uint64(version)) //nolint:gosec // bits are bits
}

func packSession(s store.Session) []byte {
	b := headOf(s.Version)
	b = binary.AppendVarint(b, s.Epoch)
	b = binary.AppendVarint(b, s.LastSeq)
	b = binary.AppendVarint(b, s.UpdatedAt.UnixMilli())
	b = binary.AppendVarint(b, s.ExpiresAt.UnixMilli()-s.UpdatedAt.UnixMilli())
	if i := slices.Index(sessionStates, s.State); i >= 0 {
		b = append(b, byte(i)) //nolint:gosec // there are few
	} else {
		b = append(binary.AppendUvarint(append(b, 0xff), uint64(len(s.State))), s.State...)
	}
	// The id comes last: the bytes of a UUID, or a zero and any text.
	if id, ok := packUUID(s.UpstreamID); ok {
		return append(append(b, uuidBytes), id...)
	}
	return append(append(b, 0), s.UpstreamID...)
}

func unpackSession(visitor, raw string) (store.Session, error) {
	got := store.Session{Visitor: visitor}
	switch {
	case raw != "" && '0' <= raw[0] && raw[0] <= '9':
		return unpackJSONSession(visitor, raw)
	case raw == "" || raw[0] != sessionFormat:
		return store.Session{}, errSessionFormat
	case len(raw) < sessionHead:
		return store.Session{}, errSessionBroken
	}
	got.Version = int64(binary.BigEndian.Uint64([]byte(raw[1:sessionHead]))) //nolint:gosec // bits are bits
	b := []byte(raw[sessionHead:])
	var updated, life int64
	for _, n := range []*int64{&got.Epoch, &got.LastSeq, &updated, &life} {
		size := 0
		if *n, size = binary.Varint(b); size <= 0 {
			return store.Session{}, errSessionBroken
		}
		b = b[size:]
	}
	got.UpdatedAt, got.ExpiresAt = store.FromMillis(updated), store.FromMillis(updated+life)
	switch {
	case len(b) > 0 && int(b[0]) < len(sessionStates):
		got.State, b = sessionStates[b[0]], b[1:]
	case len(b) > 0 && b[0] == 0xff:
		length, size := binary.Uvarint(b[1:])
		if size <= 0 {
			return store.Session{}, errSessionBroken
		}
		if b = b[1+size:]; length > uint64(len(b)) {
			return store.Session{}, errSessionBroken
		}
		got.State, b = string(b[:length]), b[length:]
	default:
		return store.Session{}, errSessionBroken
	}
	switch {
	case len(b) > 0 && b[0] == 0:
		got.UpstreamID = string(b[1:])
	case len(b) == 1+uuidBytes && b[0] == uuidBytes:
		got.UpstreamID = textUUID(b[1:])
	default:
		return store.Session{}, errSessionBroken
	}
	return got, nil
}

// packUUID returns the bytes of a UUID, and false for any other text.
func packUUID(id string) ([]byte, bool) {
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	return b, err == nil && len(b) == uuidBytes && textUUID(b) == id
}

func textUUID(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// jsonSession is a session as earlier builds stored it, after its version.
type jsonSession struct {
	Epoch      int64  `json:"n"`
	UpstreamID string `json:"u"`
	State      string `json:"s"`
	LastSeq    int64  `json:"q"`
	UpdatedAt  int64  `json:"t"` // milliseconds
	ExpiresAt  int64  `json:"x"`
}

func unpackJSONSession(visitor, raw string) (store.Session, error) {
	version, body, _ := strings.Cut(raw, " ")
	n, err := strconv.ParseInt(version, 10, 64)
	var row jsonSession
	if err = errors.Join(err, json.Unmarshal([]byte(body), &row)); err != nil {
		return store.Session{}, fmt.Errorf("%w: %w", errSessionBroken, err)
	}
	return store.Session{
		Visitor: visitor, Epoch: row.Epoch, UpstreamID: row.UpstreamID, State: row.State, LastSeq: row.LastSeq,
		UpdatedAt: store.FromMillis(row.UpdatedAt), ExpiresAt: store.FromMillis(row.ExpiresAt), Version: n,
	}, nil
}

// KEYS: session. ARGV: prefix that the stored session must have; the prefix if an earlier
// build stored it; both empty if there must be none; session; expiry.
var luaSaveSession = redis.NewScript(`
local have = redis.call('GET', KEYS[1]) or ''
local function begins(with)
	return with == string.sub(have, 1, #with) and (with ~= '' or have == '')
end
if not begins(ARGV[1]) and not begins(ARGV[2]) then
	return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'PXAT', ARGV[4])
return 1
`)

// Session implements [store.Store].
func (s *Store) Session(ctx context.Context, visitor string) (store.Session, error) {
	var raw string
	err := s.call(ctx, "read session", func() (err error) {
		raw, err = s.client.Get(ctx, s.sessionKey(visitor)).Result()
		return err
	})
	if errors.Is(err, redis.Nil) {
		return store.Session{Visitor: visitor}, nil
	}
	if err != nil {
		return store.Session{}, err
	}
	got, err := unpackSession(visitor, raw)
	if err != nil {
		return store.Session{}, fmt.Errorf("store: read session: the record %w", err)
	}
	return got, nil
}

// SaveSession implements [store.Store].
func (s *Store) SaveSession(ctx context.Context, session store.Session) (store.Session, error) {
	now := time.Now()
	session.ExpiresAt = store.Millis(session.ExpiresAt)
	if !session.ExpiresAt.After(now) {
		return store.Session{}, store.ErrExpired
	}
	var old, older any = "", "" // prefixes of the stored session; empty if there must be none
	if session.Version != 0 {
		old, older = headOf(session.Version), fmt.Sprintf("%d ", session.Version)
	}
	session.UpdatedAt = store.Millis(now)
	session.Version = store.NewVersion()
	saved, err := s.run(ctx, "save session", luaSaveSession, []string{s.sessionKey(session.Visitor)},
		old, older, packSession(session), session.ExpiresAt.UnixMilli())
	if err != nil {
		return store.Session{}, err
	}
	if saved == 0 {
		return store.Session{}, store.ErrConflict
	}
	return session, nil
}
