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

// Route returns a route to an account, and the client that uses it. The route's accounts
// count as used until [Route.Close].
func (p *Pool) Route(a Account) (*Route, *anyframe.Client, error) {
	r := &Route{pool: p}
	client, err := p.client(a, func(http.RoundTripper) http.RoundTripper { return roundTripper(r.send) })
	if err != nil {
		return nil, nil, err
	}
	return r, client, r.Use(a)
}

// Close ends the use of the route's accounts. Calls in flight continue, and no other
// account may follow. It must be called once.
func (r *Route) Close() { r.pool.replace(r.known(), nil) }

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
	all = all[:min(len(all), maxAccounts)]
	r.pool.replace(r.accounts, all)
	r.accounts = all
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

// send makes a call with the account of its session. If that is unknown, or refuses its
// key, it tries all others, newest first: a rotated key leads to the same sessions. If no
// account has the session, a refusal is returned before a 404, because the account that
// refused may have it.
func (r *Route) send(req *http.Request) (*http.Response, error) {
	all := r.known()
	id := sessionOf(req.URL.Path)
	caller, _ := req.Context().Value(callerKey{}).(*Caller)
	if id == "" || len(all) == 1 && (caller == nil || caller.account.Load() == nil) {
		return all[0].call(req)
	}
	pinned := false
	if caller != nil {
		if pin := caller.account.Load(); pin != nil && pin.session == id {
			pinned = true
			others := slices.DeleteFunc(slices.Clone(all), func(e *endpoint) bool { return e == pin.at })
			all = append([]*endpoint{pin.at}, others...)
		}
	}
	var kept result
	for i, e := range all {
		again := req
		if i > 0 {
			if again = repeat(req); again == nil {
				break
			}
		}
		res, err := e.call(again)
		got := result{res, err}
		switch {
		case !got.refused() && (!got.notFound() || i == 0 && pinned):
			kept.discard()
			caller.pin(id, e, got)
			return res, err
		case i == 0 || got.refused() && !kept.refused():
			kept.discard()
			kept = got
		default:
			got.discard()
		}
	}
	return kept.res, kept.err
}

// pin makes e the account of a session if its result shows that it has the session. The
// caller may be nil.
func (c *Caller) pin(session string, e *endpoint, got result) {
	if c == nil || got.err != nil {
		return
	}
	switch s := got.res.StatusCode; {
	case s < http.StatusBadRequest, s == http.StatusConflict, s == http.StatusUnprocessableEntity:
		c.account.Store(&pin{session, e})
	}
}

// result is the result of one call.
type result struct {
	res *http.Response
	err error
}

func (r result) refused() bool {
	return errors.Is(r.err, ErrKeyRefused) || r.err == nil && r.res != nil && refusesKey(r.res.StatusCode)
}

func (r result) notFound() bool { return r.err == nil && r.res.StatusCode == http.StatusNotFound }

// discard closes the response, whose body is not needed.
func (r result) discard() {
	if r.res != nil {
		_ = r.res.Body.Close()
	}
}

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
