package upstream

import (
	"errors"

	"github.com/anyframe-relay/relay/anyframe"
)

// Lost reports whether AnyFrame cannot bring this session back: it is gone, in error, or
// its resume was refused.
func Lost(err error) bool {
	if _, ok := errors.AsType[*anyframe.SessionStateError](err); ok {
		return true
	}
	if errors.Is(err, anyframe.ErrUnauthorized) || errors.Is(err, anyframe.ErrForbidden) || errors.Is(err, anyframe.ErrRateLimited) {
		return false
	}
	e, ok := errors.AsType[*anyframe.Error](err)
	return ok && !e.Sent() && e.StatusCode >= 400
}
