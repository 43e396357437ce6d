// Package upstream is what the relay knows about talking to AnyFrame: how its
// events are read, which errors are worth another try, and the guard through
// which every call goes.
//
// The guard answers two questions about all calls together, and takes care that
// no visitor can decide either of them for the others.
//
// Is the key refused? A 401 or 403 is the failure of its own call until
// GET /api/me, which depends on the key alone, is refused as well. One caller
// makes that call for all that need the answer at that moment.
//
// Is AnyFrame down? The circuit breaker opens when failures to connect, timeouts
// or 5xx happen to three visitors at three networks within a minute, without a
// success of the same kind of call in between, or happen to GET /api/me, which
// the guard also calls when any five calls have failed in a row. A connection that
// was lost is no such failure unless it was made after another had been lost. The
// breaker closes when GET /api/me is answered.
//
// The breaker is the relay's own: a library's decides by the results of calls
// alone, and lets one of the waiting calls be its trial, which a visitor whose
// calls always fail could use to keep it open.
package upstream
