package relay

import (
	"errors"
	"io"

	"github.com/anyframe-relay/relay/anyframe"
)

// broke is the cause for which a stream of AnyFrame's is opened again.
func broke(err error) string {
	switch {
	case err == io.EOF: //nolint:errorlint // Follow never wraps it; what does is a connection that broke
		return brokeEnded
	case errors.Is(err, anyframe.ErrStreamStalled):
		return brokeSilent
	}
	return brokeBroken
}
