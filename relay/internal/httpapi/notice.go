package httpapi

import (
	"context"
	"time"
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
func (a *api) askConsent(ctx context.Context, visitor string, agrees bool) (*agreement, error) {
	text, version := a.consent.Text()
	if text == "" {
		return nil, nil
	}
	ask := a.consent.Given
	if agrees {
		ask = a.consent.Give
	}
	at, err := ask(ctx, visitor)
	if err != nil {
		return nil, err
	}
	out := &agreement{Version: version, Text: text}
	if !at.IsZero() {
		out.GivenAt = &at
	}
	return out, nil
}
