package deadletter_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

func TestOrigin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ topic, filter, want string }{
		{"devices/7/data", "devices/+/data", "devices/7"},
		{"devices/7/a/b/c", "devices/+/#", "devices/7"},
		{"devices/7/a/b/c", "devices/#", "devices/7"},
		{"devices/7", "#", "devices"},
		{"devices/7/data", "$share/group/devices/+/data", "devices/7"},
		{"tenant/devices/7", "+/devices/+", "tenant"},
		{"reports/user", "reports/user", "reports/user"},
		{"a/b/c", "", "a/b"},
		{"a", "", "a"},
		{"devices", "devices/#", "devices"},
		{"", "", ""},
		{"/a/b", "/+/b", "/a"},
	} {
		l := deadletter.Letter{Filter: tt.filter, Message: message.Message{Topic: tt.topic}}
		if got := l.Origin(); got != tt.want {
			t.Errorf("%q of %q: %q, want %q", tt.topic, tt.filter, got, tt.want)
		}
	}
}

// Bytes have shares, too: what is over one may be kept smaller.
func TestShareOfBytes(t *testing.T) {
	t.Parallel()
	u := deadletter.NewUsage(deadletter.Bounds{Letters: 1000, Bytes: 8000})
	for range 4 {
		if err := u.Take("A", 1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := u.Take("A", 10); !errors.Is(err, deadletter.ErrShare) || !errors.Is(err, deadletter.ErrUnfit) {
		t.Errorf("beyond half of the store: %v", err)
	}
	if err := u.Take("B", 1000); err != nil {
		t.Error(err)
	}
	if err := u.Take("B", 1); !errors.Is(err, deadletter.ErrShare) {
		t.Errorf("beyond the share: %v", err)
	}
	u.Add("B", -1, -1000)
	u.Add("A", -4, -4000)
	if err := u.Take("B", 1000); err != nil {
		t.Error(err)
	}
	if all, of := u.All(), u.Of("B"); all != of || all != (deadletter.Use{Letters: 1, Bytes: 1000}) {
		t.Errorf("%+v, %+v", all, of)
	}
}

// Of a million letters from as many origins an honest one is not taken to have sent
// many.
func TestUsageOfManyOrigins(t *testing.T) {
	t.Parallel()
	const origins = 1_000_000
	u := deadletter.NewUsage(deadletter.Bounds{Letters: 2 * origins, Bytes: 1 << 40})
	for i := range origins {
		u.Add(fmt.Sprint("devices/", i), 1, 1000)
	}
	u.Add("devices/A", origins/2, origins*500)
	if got := u.Of("devices/A").Letters; got < origins/2 || got > origins/2+origins/500 {
		t.Errorf("%d letters of A, want %d", got, origins/2)
	}
	if got := u.Of("devices/B").Letters; got > origins/500 {
		t.Errorf("%d letters of B, which has none", got)
	}
	if err := u.Take("devices/B", 1000); err != nil {
		t.Error(err)
	}
}

// A letter that would not fit into an empty store is not one that waits for room, and
// neither is one that alone is more than a share: a smaller form may fit.
func TestLetterBeyondTheBound(t *testing.T) {
	t.Parallel()
	for _, share := range []int{0, 1, 3} {
		b := deadletter.Bounds{Letters: 100, Bytes: 60_000, Share: share}
		none := func() (deadletter.Use, error) { return deadletter.Use{}, nil }
		for _, size := range []int64{60_001, 1 << 40} {
			err := b.Room(size, deadletter.Use{}, none)
			if !errors.Is(err, deadletter.ErrUnfit) || errors.Is(err, deadletter.ErrFull) || errors.Is(err, deadletter.ErrShare) {
				t.Errorf("share %d: %d bytes: %v, want ErrUnfit", share, size, err)
			}
		}
		if err := b.Room(30_000, deadletter.Use{}, none); err != nil {
			t.Errorf("share %d: half of the store: %v", share, err)
		}
		if share == 1 {
			continue
		}
		err := b.Room(25_000, deadletter.Use{Letters: 1, Bytes: 30_000}, none)
		if !errors.Is(err, deadletter.ErrUnfit) || errors.Is(err, deadletter.ErrShare) {
			t.Errorf("share %d: more than a share: %v, want ErrUnfit", share, err)
		}
	}
}

// However many origins have letters, and however small the shares are, no origin is charged
// for the letters of others.
func TestManyOriginsBlameNobody(t *testing.T) {
	t.Parallel()
	for _, share := range []int{8, 100, 2000} {
		u := deadletter.NewUsage(deadletter.Bounds{Letters: 100_000, Bytes: 1 << 30, Share: share})
		for i := range 90_000 {
			if err := u.Take(fmt.Sprint("devices/", i), 1000); err != nil {
				t.Fatalf("share %d: origin %d of one letter each: %v", share, i, err)
			}
		}
		for i := range 20 {
			origin := fmt.Sprint("honest/", i)
			for n := range 40 {
				if err := u.Take(origin, 1000); err != nil {
					t.Fatalf("share %d: letter %d of %s: %v", share, n+1, origin, err)
				}
			}
		}
	}
}
