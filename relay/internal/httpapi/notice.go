package httpapi

import (
	"context"
	"time"

	"github.com/anyframe-relay/relay/relay/internal/visitor"
)

// notice is the notice under the widget's composer: nil for none, and without a text for
// the widget's own text.
type notice struct {
	Text       *string `json:"text"`
	PrivacyURL *string `json:"privacy_url"`
}

func (a *api) notice() *notice {
	if a.options.NoNotice {
		return nil
	}
	return &notice{orNull(a.options.Notice), orNull(a.options.PrivacyURL)}
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// agreement is the consent that is required before the first message.
type agreement struct {
	Version string     `json:"version"`
	Text    string     `json:"text"`
	GivenAt *time.Time `json:"given_at"`
}

// askConsent returns the required consent, or nil if there is none, with the time at
// which the visitor gave it. If agrees is set, it records consent now.
func (a *api) askConsent(ctx context.Context, v visitor.Visitor, agrees bool) (*agreement, error) {
	text, version := a.consent.Text()
	if text == "" {
		return nil, nil
	}
	var at time.Time
	var err error
	if agrees {
		at, err = a.consent.Give(ctx, v.ID, v.Provisional)
	} else {
		at, err = a.consent.Given(ctx, v.ID)
	}
	if err != nil {
		return nil, err
	}
	out := &agreement{Version: version, Text: text}
	if !at.IsZero() {
		out.GivenAt = &at
	}
	return out, nil
}
