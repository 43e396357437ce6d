package upstream

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/anyframe-relay/relay/anyframe"
)

// maxAccounts is how many accounts a route keeps, including the newest.
const maxAccounts = 4

// Route is how one site reaches AnyFrame. Its account can be changed while calls are in
// flight: a session continues with its account, and only new AnyFrame sessions use the
// newest one. It is safe for concurrent use.
type Route struct {
	pool *Pool

	mu       sync.Mutex // guards accounts, whose slice is replaced and never changed
	accounts []*endpoint
}

// Route returns a route to an account, and the client that uses it.
func (p *Pool) Route(a Account) (*Route, *anyframe.Client, error) {
	r := &Route{pool: p}
	if err := r.Use(a); err != nil {
		return nil, nil, err
	}
	client, err := p.client(a, func(http.RoundTripper) http.RoundTripper { return roundTripper(r.send) })
	return r, client, err
}

// Use makes a the account of new sessions.
func (r *Route) Use(a Account) error {
	e, err := r.pool.endpoint(a)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(r.accounts), func(old *endpoint) bool { return old == e })
	all = append([]*endpoint{e}, all...)
	r.accounts = all[:min(len(all), maxAccounts)]
	return nil
}

func (r *Route) known() []*endpoint {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accounts
}

// Account returns the account of new sessions.
func (r *Route) Account() Account { return r.newest().account }

func (r *Route) newest() *endpoint { return r.known()[0] }

// send makes a call with the account of its session. If that is unknown, it tries all
// accounts, newest first.
func (r *Route) send(req *http.Request) (*http.Response, error) {
	all := r.known()
	id := sessionOf(req.URL.Path)
	caller, _ := req.Context().Value(callerKey{}).(*Caller)
	if id == "" || len(all) == 1 && (caller == nil || caller.account.Load() == nil) {
		return all[0].call(req)
	}
	if caller != nil {
		if pin := caller.account.Load(); pin != nil && pin.session == id {
			return r.sendPinned(req, caller, pin)
		}
	}
	for i, e := range all {
		again := req
		if i > 0 {
			if again = repeat(req); again == nil {
				break
			}
		}
		res, err := e.call(again)
		if i < len(all)-1 && notHere(res, err) {
			discard(res)
			continue
		}
		caller.pin(id, e, res, err)
		return res, err
	}
	return all[0].call(repeat(req))
}

// sendPinned makes a call of a session whose account is known. If that refuses its key,
// it tries the others, because a rotated key leads to the same sessions. If none of them
// has the session, the refusal stands: another account's "not found" says nothing.
func (r *Route) sendPinned(req *http.Request, caller *Caller, to *pin) (*http.Response, error) {
	res, err := to.at.call(req)
	if !errors.Is(err, ErrKeyRefused) && (err != nil || !refusesKey(res.StatusCode)) {
		return res, err
	}
	for _, e := range r.known() {
		if e == to.at {
			continue
		}
		again := repeat(req)
		if again == nil {
			break
		}
		got, failed := e.call(again)
		if notHere(got, failed) {
			discard(got)
			continue
		}
		discard(res)
		caller.pin(to.session, e, got, failed)
		return got, failed
	}
	return res, err
}

// pin makes e the account of a session if its response shows that it has the session. The
// caller may be nil.
func (c *Caller) pin(session string, e *endpoint, res *http.Response, err error) {
	if c != nil && err == nil && !elsewhere(res.StatusCode) && res.StatusCode < http.StatusInternalServerError {
		c.account.Store(&pin{session, e})
	}
}

// notHere reports whether a result may mean that the session belongs to another account.
func notHere(res *http.Response, err error) bool {
	return errors.Is(err, ErrKeyRefused) || err == nil && elsewhere(res.StatusCode)
}

// discard closes a response whose body is not needed. It may be nil.
func discard(res *http.Response) {
	if res != nil {
		_ = res.Body.Close()
	}
}

// elsewhere reports whether a response may mean that the session belongs to another
// account.
func elsewhere(status int) bool { return refusesKey(status) || status == http.StatusNotFound }

// repeat returns a copy of a request whose body can be sent again, or nil.
func repeat(req *http.Request) *http.Request {
	again := req.Clone(req.Context())
	if req.Body == nil || req.Body == http.NoBody {
		return again
	}
	if req.GetBody == nil {
		return nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil
	}
	again.Body = body
	return again
}

// call makes a call with this account.
func (e *endpoint) call(req *http.Request) (*http.Response, error) {
	_, path, _ := strings.Cut(req.URL.Path, "/api/")
	_, escaped, _ := strings.Cut(req.URL.EscapedPath(), "/api/")
	mine := req.Clone(req.Context())
	mine.URL.Scheme, mine.URL.Host, mine.Host = e.base.Scheme, e.base.Host, ""
	mine.URL.Path, mine.URL.RawPath = e.base.Path+"/api/"+path, e.base.EscapedPath()+"/api/"+escaped
	mine.Header.Set("Authorization", "Bearer "+e.account.Key)
	return e.send.RoundTrip(mine)
}

// sessionOf returns the session in a call's path, or "".
func sessionOf(path string) string {
	_, rest, _ := strings.Cut(path, "/api/sessions/")
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// pin records the account of an AnyFrame session.
type pin struct {
	session string
	at      *endpoint
}
