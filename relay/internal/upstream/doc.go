// Package upstream handles communication with AnyFrame: decoding its events, classifying
// errors as retryable or not, and the guard through which every call goes.
//
// The guard answers two questions about all calls together, and makes sure that no
// visitor can decide either of them for the others.
//
// Is the key refused? A 401 or 403 fails only its own call until GET /api/me, which
// depends on the key alone, is refused as well. One caller makes that call for all
// callers that need the answer at that time.
//
// Is AnyFrame down? The circuit breaker counts connection failures, timeouts and 5xx
// responses. It opens when they affect three visitors on three networks within a minute,
// without a success of the same kind of call in between. It also opens when they affect
// GET /api/me, which the guard also calls after any five consecutive failures. A lost
// connection does not count unless it was made after another one had been lost. The
// breaker closes when GET /api/me is answered.
//
// The breaker is our own. A library's breaker decides by the results of calls alone and
// uses one of the waiting calls as its trial. A visitor whose calls always fail could
// then keep it open.
package upstream
