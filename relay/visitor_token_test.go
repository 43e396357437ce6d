package relay_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/relay/internal/store/stores"
)

// The store may keep a token slightly longer, and may contain rows of another version.
func TestVisitor_Token_ValidOnlyIfStored(t *testing.T) {
	r := newHarness(t, sqliteFile(t))
	disk, err := stores.Open(t.Context(), r.conf.Store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { disk.Close() })
	soon := time.Now().Add(time.Hour).Format(time.RFC3339)
	packed := func(id string, life time.Duration) string {
		row, err := relay.VisitorCodec{}.Encode(time.Now().Add(life), map[string]any{"visitor": id})
		if err != nil {
			t.Fatal(err)
		}
		return string(row)
	}
	v := &browser{r, strings.Repeat("A", 43)}
	hash := sha256.Sum256([]byte(v.token))
	for row, want := range map[string]int{
		`{"deadline":"` + soon + `","visitor":"someone"}`: http.StatusUnauthorized,
		"\x0f\xff\x81\x02gob":                             http.StatusUnauthorized,
		packed("someone", time.Hour):                      http.StatusOK,
		packed("someone", -time.Second):                   http.StatusUnauthorized,
		packed("", time.Hour):                             http.StatusUnauthorized,
		"\x02" + packed("someone", time.Hour)[1:]:         http.StatusUnauthorized, // of a future format
		"\x01\x80" + packed("someone", time.Hour)[2:]:     http.StatusUnauthorized, // with a future flag
		packed(rand.Text(), time.Hour)[:24]:               http.StatusUnauthorized,
		"\x01\x00\xff":                                    http.StatusUnauthorized,
		"\x01":                                            http.StatusUnauthorized,
		"":                                                http.StatusUnauthorized,
	} {
		if err := disk.CommitCtx(t.Context(), base64.RawURLEncoding.EncodeToString(hash[:]), []byte(row), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if a := v.do("GET", "/v1/session", ""); a.status != want {
			t.Errorf("%q: got %d %s, want %d", row, a.status, a.body, want)
		}
		if a := v.do("POST", "/v1/visitor", `{"carrier":"bearer"}`); a.status != http.StatusOK || (a.token() == v.token) != (want == http.StatusOK) {
			t.Errorf("%q, introduced: got %d %s, want another token: %v", row, a.status, a.body, want != http.StatusOK)
		}
	}
}

func TestVisitor_BearerAndCookie_BearerWins(t *testing.T) {
	d := newOffline(t, nil)
	token := d.mint()
	headers := []string{"Cookie", "relay_visitor=" + token, "Authorization", "Bearer " + strings.Repeat("A", 43)}
	refused(t, "an unknown bearer token beside a good cookie", d.ask("GET", "/v1/session", "", headers...), 401, "visitor_unknown")
	headers[3] = "Bearer nonsense"
	refused(t, "a malformed bearer token beside a good cookie", d.ask("GET", "/v1/session", "", headers...), 401, "visitor_unknown")
	headers[3] = "Basic dXNlcjpwYXNz" // a proxy's own password is ignored
	if a := d.ask("GET", "/v1/session", "", headers...); a.status != http.StatusOK {
		t.Errorf("another scheme beside a good cookie: got %d, want 200", a.status)
	}
}

func TestVisitor_BearerScheme_CaseInsensitive(t *testing.T) {
	d := newOffline(t, nil)
	token := d.mint()
	for _, scheme := range []string{"Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer   "} {
		if a := d.ask("GET", "/v1/session", "", "Authorization", scheme+token); a.status != http.StatusOK {
			t.Errorf("%q: got %d, want 200", scheme, a.status)
		}
	}
	for _, scheme := range []string{"", "Bearer", "Bearer:", "Token ", "Bearer Bearer "} {
		refused(t, fmt.Sprintf("%q", scheme), d.ask("GET", "/v1/session", "", "Authorization", scheme+token), 401, "visitor_unknown")
	}
}

// A token of the wrong form is refused without reading the store.
func TestVisitor_MalformedToken_NotLookedUp(t *testing.T) {
	d := newOffline(t, nil)
	token := d.mint()
	if err := d.srv.Close(); err != nil { // from here on, every call to the store fails because it is closed
		t.Fatal(err)
	}
	refused(t, "a token of the right shape", d.ask("GET", "/v1/transcript", "", bearer(token)...), 500, "internal")
	for _, bad := range []string{
		"", "x", token[1:], token + "A", token + "=", strings.Repeat("A", 10_000), token[:42] + "+", token[:42] + "/", token[:42] + " ",
		token[:42] + "'", token[:42] + "\x00", token[:42] + "é", "../" + token[3:], token + "\n" + token,
	} {
		for _, headers := range [][]string{{"Authorization", "Bearer " + bad}, {"Cookie", "relay_visitor=" + bad}} {
			what := fmt.Sprintf("%s %.60q", headers[0], bad)
			refused(t, what, d.ask("GET", "/v1/transcript", "", headers...), 401, "visitor_unknown")
		}
	}
}

func TestVisitor_Unknown_EveryRouteRefused(t *testing.T) {
	r := newHarness(t, nil)
	for _, token := range []string{"", strings.Repeat("A", 43)} {
		b := &browser{r, token}
		for _, call := range []struct{ method, path, body string }{
			{"DELETE", "/v1/visitor", ""},
			{"GET", "/v1/session", ""},
			{"POST", "/v1/session", ""},
			{"DELETE", "/v1/session", ""},
			{"POST", "/v1/messages", `{"text":"hi"}`},
			{"POST", "/v1/responses", `{"id":"p1-1","answer":"yes"}`},
			{"GET", "/v1/events", ""},
			{"GET", "/v1/transcript", ""},
		} {
			refused(t, call.method+" "+call.path, b.do(call.method, call.path, call.body), 401, "visitor_unknown")
		}
		a := b.do("POST", "/v1/visitor", `{"carrier":"bearer"}`)
		if a.status != http.StatusOK || len(a.token()) != 43 || a.token() == token {
			t.Errorf("introduced with token %q: got %d %q, want another token", token, a.status, a.token())
		}
	}
	if n := r.plane.Count(anyframetest.OpAny); n != 0 {
		t.Errorf("requests to AnyFrame: got %d, want none", n)
	}
}

func TestVisitor_Token_StoredAsHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "relay.db")
	r := newHarness(t, func(c *relay.Config) { c.Store = "sqlite:" + path })
	v := r.visitor()
	v.say("hi", "k1")
	read := func() (all []byte) {
		for _, suffix := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + suffix)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		return all
	}
	raw, err := base64.RawURLEncoding.DecodeString(v.token)
	if err != nil || len(raw) != 32 {
		t.Fatalf("got a token of %d bytes, %v, want 32 of base64url", len(raw), err)
	}
	sum := sha256.Sum256([]byte(v.token))
	for _, when := range []string{"while it runs", "after it ended"} {
		file := read()
		if bytes.Contains(file, []byte(v.token)) || bytes.Contains(file, raw) {
			t.Errorf("%s: the file holds the token", when)
		}
		if !bytes.Contains(file, []byte(base64.RawURLEncoding.EncodeToString(sum[:]))) {
			t.Errorf("%s: the file does not hold the token's hash, so this test looks in the wrong place", when)
		}
		r.stop()
	}
}
