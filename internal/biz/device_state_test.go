package biz

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
)

func TestState(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	r := reading(asIs)
	for name, test := range map[string]struct {
		ago     time.Duration // of the heartbeat; 0 means no heartbeat
		silence time.Duration
		online  bool
	}{
		"never seen":         {0, 0, false},
		"just now":           {time.Millisecond, 0, true},
		"default":            {90 * time.Second, 0, true},
		"beyond the default": {90*time.Second + 1, 0, false},
		"configured":         {time.Hour, time.Hour, true},
		"beyond configured":  {time.Second, time.Millisecond, false},
	} {
		fake := &deviceFake{readings: []Telemetry{r}}
		u := NewDeviceUsecase(fake, fake, fake, Limits{Silence: test.silence})
		want := DeviceState{DeviceID: "d1", Online: test.online, LastTelemetry: &r}
		if test.ago != 0 {
			u.now = func() time.Time { return noon }
			if err := u.Beat(ctx, "d1"); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			want.LastSeen = noon
		}
		u.now = func() time.Time { return noon.Add(test.ago) }
		if got, err := u.State(ctx, "d1"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestStateOfNobody(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fake := &deviceFake{}
	u := NewDeviceUsecase(fake, fake, fake, Limits{})
	if got, err := u.State(ctx, "d1"); err != nil || got != (DeviceState{DeviceID: "d1"}) {
		t.Errorf("unknown device: %+v, %v", got, err)
	}
	for _, device := range []string{"", "a\x00"} {
		if _, err := u.State(ctx, device); kerrors.Code(err) != 400 {
			t.Errorf("state of %q: %v", device, err)
		}
		if err := u.Beat(ctx, device); kerrors.Code(err) != 400 || len(fake.seen) != 0 {
			t.Errorf("heartbeat of %q: %v", device, err)
		}
	}
	fake.failSave = errFake
	if _, err := u.State(ctx, "d1"); !errors.Is(err, errFake) {
		t.Errorf("database down: %v", err)
	}
	if err := u.Beat(ctx, "d1"); !errors.Is(err, errFake) {
		t.Errorf("database down: %v", err)
	}
}
