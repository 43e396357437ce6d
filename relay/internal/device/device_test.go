package device_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/device"
)

func TestSet_TwoStreamsOfOneToken_OneDeviceUntilBothEnd(t *testing.T) {
	var s device.Set
	first, second := s.Attach("a"), s.Attach("a")
	if first != second {
		t.Error("got two devices for one token, want one")
	}
	s.Detach("a")
	if !s.Revoke("a") {
		t.Error("got no stream of the token, want the one that is left")
	}
	if !first.Void() {
		t.Error("got a device that is good, want it void")
	}
	s.Detach("a")
	if s.Revoke("a") {
		t.Error("got a stream of the token, want none")
	}
	if s.Attach("a").Void() {
		t.Error("got a void device for streams that were opened later, want one to be asked about")
	}
}

func TestDevice_Nil_NeverVoid(t *testing.T) {
	var d *device.Device
	if d.Void() {
		t.Error("got no device void, want it good")
	}
}

func TestCheck_SomeVoidElsewhere_ThoseAlone(t *testing.T) {
	var s device.Set
	good, gone, unsure := s.Attach("good"), s.Attach("gone"), s.Attach("unsure")
	var asked []string
	revoked, err := s.Check(t.Context(), func(_ context.Context, token string) (bool, error) {
		asked = append(asked, token)
		s.Attach(token) // no lock is held during this call
		s.Detach(token)
		if token == "unsure" {
			return false, errors.New("the store is away")
		}
		return token == "good", nil
	})
	slices.Sort(asked)
	if want := []string{"gone", "good", "unsure"}; !slices.Equal(asked, want) {
		t.Errorf("got %v asked about, want %v", asked, want)
	}
	if err == nil {
		t.Error("got no error, want the one of the token that could not be asked about")
	}
	if !revoked || !gone.Void() || good.Void() || unsure.Void() {
		t.Errorf("got revoked %v; void: gone %v, good %v, unsure %v; want the first alone", revoked, gone.Void(), good.Void(), unsure.Void())
	}
}
