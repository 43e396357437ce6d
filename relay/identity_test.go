package relay_test

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

const siteSecret = "a-secret-of-the-website-for-its-own-tokens"

func siteKey(c *relay.Config) { c.IdentityKey = siteSecret }

// signIn returns the token that a website's server gives to the page of a signed-in user.
func signIn(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	return signed(t, jwt.SigningMethodHS256, []byte(siteSecret), nil, claims)
}

func signed(t *testing.T, method jwt.SigningMethod, key any, header map[string]any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	maps.Copy(token.Header, header)
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// of returns the claims of a sign-in that is valid for an hour.
func of(sub string) jwt.MapClaims {
	return jwt.MapClaims{"sub": sub, "exp": time.Now().Add(time.Hour).Unix()}
}

func introduction(identity string) string {
	return `{"carrier":"bearer","identity":` + quote(identity) + `}`
}

// as introduces a browser as the website's user sub, with the token that it has, if any.
func (b *browser) as(sub string) *browser {
	b.r.t.Helper()
	a := b.do("POST", "/v1/visitor", introduction(signIn(b.r.t, of(sub))))
	if a.status != http.StatusOK || a.token() == "" {
		b.r.t.Fatalf("introduced as %s: got %d %s, want a token", sub, a.status, a.body)
	}
	return &browser{b.r, a.token()}
}

func (r *harness) signedIn(sub string) *browser { r.t.Helper(); return (&browser{r: r}).as(sub) }

// voided fails the test unless the stream ends because its token was revoked.
func (x *stream) voided(what string) {
	x.t.Helper()
	all := x.ended()
	if last := all[len(all)-1]; last.kind != "problem" || last.str("code") != "visitor_unknown" || last.json["fatal"] != true {
		x.t.Errorf("%s: ended with %s, want a fatal problem visitor_unknown", what, last)
	}
}

func TestIdentity_SignInOnSeveralDevices_SameVisitor(t *testing.T) {
	disk := sqliteFile(t)
	r := newHarness(t, func(c *relay.Config) { disk(c); siteKey(c) }, anyframetest.WithAgent(1, talk))
	phone, laptop, stranger := r.signedIn("ann"), r.signedIn("ann"), r.signedIn("bob")
	if phone.token == laptop.token {
		t.Error("two devices have one token, want one each")
	}
	x, y, z := phone.open(""), laptop.open(""), stranger.open("")
	phone.say("hello", "k1")
	same(t, "the laptop", numbered(y.turnEnds(1)), numbered(x.turnEnds(1)))
	r.restart()
	same(t, "a third device, later", numbered(r.signedIn("ann").open("").turnEnds(1)), numbered(x.all()))
	laptop.say("and again", "k2")
	if n := len(r.plane.Sessions()); n != 1 {
		t.Errorf("sandboxes: got %d, want one for all devices", n)
	}
	if z.close(); count(z.all(), "user")+count(z.all(), "text") != 0 {
		t.Errorf("another one who signed in: got\n%swant nothing", lines(z.all()))
	}
}

func TestIdentity_FirstSignInsAtOnce_OneVisitor(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, siteKey, anyframetest.WithAgent(1, speak))
		devices := make([]*browser, 20)
		var wg sync.WaitGroup
		for i := range devices {
			wg.Go(func() { devices[i] = []*harness{a, b}[i%2].signedIn("ann") })
		}
		wg.Wait()
		x := devices[0].open("")
		for i, d := range devices[:4] {
			d.insist("hello", "k"+string(rune('a'+i)))
			x.turnEnds(i + 1)
		}
		if n := len(a.plane.Sessions()); n != 1 {
			t.Errorf("sandboxes of one who came on twenty devices at once: got %d, want 1", n)
		}
	})
}

func TestIdentity_LogoutOnOneDevice_OthersStaySignedIn(t *testing.T) {
	t.Parallel()
	overStores(t, func(t *testing.T, share sharing) {
		t.Parallel()
		a, b := replicas(t, overHTTP1, share, siteKey, anyframetest.WithAgent(1, talk))
		phone, laptop := a.signedIn("ann"), a.signedIn("ann")
		here, there, other := phone.open(""), phone.at(b).open(""), laptop.open("")
		phone.say("hello", "k1")
		for _, x := range []*stream{here, there, other} {
			x.turnEnds(1)
		}
		if got := phone.do("DELETE", "/v1/visitor", ""); got.status != http.StatusNoContent {
			t.Fatalf("DELETE: got %d %s, want 204", got.status, got.body)
		}
		here.voided("the phone's stream")
		there.voided("the phone's stream at another replica")
		refused(t, "the phone's token", phone.do("GET", "/v1/session", ""), 401, "visitor_unknown")
		refused(t, "the same at another replica", phone.at(b).do("GET", "/v1/session", ""), 401, "visitor_unknown")
		laptop.say("still here", "k2")
		other.turnEnds(2)
		again := b.signedIn("ann").open("")
		same(t, "signed in again", numbered(again.turnEnds(2)), numbered(other.all()))
	})
}

// Signing in never takes over the anonymous conversation of the same browser.
func TestIdentity_SignInAfterAnonymous_AnotherVisitor(t *testing.T) {
	r := newHarness(t, siteKey, anyframetest.WithAgent(1, talk))
	anonymous := r.visitor()
	x := anonymous.open("")
	anonymous.say("before I signed in", "k1")
	x.turnEnds(1)

	ann := anonymous.as("ann")
	x.voided("the stream of before")
	refused(t, "the token of before", anonymous.do("GET", "/v1/session", ""), 401, "visitor_unknown")
	if got := ann.do("GET", "/v1/transcript", ""); !strings.HasPrefix(got.body, `{"events":[]`) {
		t.Errorf("the conversation of one who signed in: got %s, want nothing of what was said before", got.body)
	}
	y := ann.open("")
	ann.say("I am ann", "k1")
	y.turnEnds(1)
	if same := ann.as("ann"); same.token != ann.token {
		t.Error("signed in as the same again: got another token, want the one that there is")
	}
	if got := ann.do("POST", "/v1/visitor", `{"carrier":"bearer"}`); got.token() != ann.token {
		t.Errorf("confirmed without the identity: got %s, want the same token", got.body)
	}

	bob := ann.as("bob") // in the same browser
	y.voided("the stream of who was there before")
	refused(t, "the token of who was there before", ann.do("GET", "/v1/session", ""), 401, "visitor_unknown")
	if got := bob.do("GET", "/v1/transcript", ""); strings.Contains(got.body, "I am ann") {
		t.Errorf("another one on the same browser: got %s, want nothing of it", got.body)
	}
	same(t, "the first one, back", numbered(r.signedIn("ann").open("").turnEnds(1)), numbered(y.all()))
	refused(t, "a bad identity beside a good token", bob.do("POST", "/v1/visitor", introduction("bad")), 401, "identity_invalid")
	if got := bob.do("GET", "/v1/session", ""); got.status != http.StatusOK {
		t.Errorf("the token beside it: got %d, want it as it was", got.status)
	}
}

func TestIdentity_SignIn_ChangesCookie(t *testing.T) {
	d := newOffline(t, siteKey)
	before := d.ask("POST", "/v1/visitor", `{}`).cookies()[0].Value
	a := d.ask("POST", "/v1/visitor", `{"identity":`+quote(signIn(t, of("ann")))+`}`, "Cookie", "relay_visitor="+before)
	got := a.cookies()
	if len(got) != 1 || got[0].Value == before || len(got[0].Value) != 43 || a.json["token"] != nil {
		t.Fatalf("got %s and cookies %v, want another cookie and no token in the body", a.body, got)
	}
	refused(t, "the cookie of before", d.ask("GET", "/v1/session", "", "Cookie", "relay_visitor="+before), 401, "visitor_unknown")
	if a := d.ask("GET", "/v1/session", "", "Cookie", "relay_visitor="+got[0].Value); a.status != http.StatusOK {
		t.Errorf("the new cookie: got %d, want 200", a.status)
	}
}

func TestIdentity_ConfirmToken_ExtendedOnlyWithSameIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newOffline(t, func(c *relay.Config) { siteKey(c); c.VisitorTTL = 100 * time.Hour })
		introduce := func(body string, headers ...string) answer {
			t.Helper()
			a := d.ask("POST", "/v1/visitor", body, headers...)
			if a.status != http.StatusOK {
				t.Fatalf("got %d %s, want 200", a.status, a.body)
			}
			return a
		}
		first := introduce(introduction(signIn(t, of("ann"))))
		token, until := first.token(), first.json["expires_at"]
		time.Sleep(50 * time.Hour)
		if a := introduce(`{"carrier":"bearer"}`, bearer(token)...); a.token() != token || a.json["expires_at"] != until {
			t.Errorf("without the identity: got %s, want the same token until %v", a.body, until)
		}
		a := introduce(introduction(signIn(t, of("ann"))), bearer(token)...)
		if a.token() != token || a.json["expires_at"] == until {
			t.Errorf("with the identity: got %s, want the same token for longer", a.body)
		}
		time.Sleep(99 * time.Hour)
		if a := d.ask("GET", "/v1/session", "", bearer(token)...); a.status != http.StatusOK {
			t.Errorf("99 h later: got %d, want 200", a.status)
		}
		// The identity of a visitor is stored for longer than any token.
		again := introduce(introduction(signIn(t, of("ann"))), bearer(token)...)
		if again.token() != token {
			t.Errorf("just before the end: got another token, want the visitor to be the same")
		}
		time.Sleep(101 * time.Hour)
		refused(t, "after the end", d.ask("GET", "/v1/session", "", bearer(token)...), 401, "visitor_unknown")
	})
}

// The subject of an identity token appears in no response, log line or row.
func TestIdentity_Subject_NeverShownLoggedOrStored(t *testing.T) {
	const sub = "ann.lee+xyzzy@example.org"
	path := filepath.Join(t.TempDir(), "relay.db")
	r := newHarness(t, func(c *relay.Config) { siteKey(c); c.Store = "sqlite:" + path }, anyframetest.WithAgent(1, talk))
	w := &witness{r: r}
	identity := signIn(t, of(sub))
	a := w.do(&browser{r: r}, "POST", "/v1/visitor", introduction(identity))
	ann := &browser{r, a.token()}
	w.do(ann, "POST", "/v1/visitor", introduction(identity+"x"))
	x := ann.open("")
	ann.say("hello", "k1")
	x.turnEnds(1)
	w.do(ann, "GET", "/v1/transcript", "")
	w.watch(x)
	w.do(ann, "DELETE", "/v1/visitor", "")
	r.stop()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w.saw("store", string(file))
	if !bytes.Contains(file, []byte("identity:")) {
		t.Error("the file holds no identity, so this test looks in the wrong place")
	}
	w.clean([]string{sub, "xyzzy@example", siteSecret, identity, strings.Split(identity, ".")[1], strings.Split(identity, ".")[2]})
}
