package upstream

import (
	"errors"
	"io"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/telemetry"
)

// Broke returns the reason why a stream from AnyFrame must be opened again.
func Broke(err error) string {
	switch {
	case err == io.EOF: //nolint:errorlint // Follow never wraps it; what does is a connection that broke
		return telemetry.BrokeEnded
	case errors.Is(err, anyframe.ErrStreamStalled):
		return telemetry.BrokeSilent
	}
	return telemetry.BrokeBroken
}
