package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

func letter(id string, state deadletter.State) *deadletter.Letter {
	return &deadletter.Letter{
		Message: message.Message{Topic: "t/" + id, Payload: []byte(id), Retain: true, Headers: []message.Header{{Key: "k", Value: id}}},
		ID:      id, State: state, Owner: "o", Filter: "t/+",
	}
}

func filled(t *testing.T, letters ...*deadletter.Letter) *deadletter.Memory {
	t.Helper()
	m := deadletter.NewMemory(0)
	for _, l := range letters {
		if err := m.Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func idsOf(t *testing.T, m deadletter.Store, q deadletter.Query) (ids []string) {
	t.Helper()
	list, err := m.List(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		ids = append(ids, l.ID)
	}
	return ids
}

func TestMemory(t *testing.T) {
	t.Parallel()
	m := deadletter.NewMemory(3)
	for _, id := range []string{"b", "c", "a"} {
		if err := m.Put(t.Context(), letter(id, deadletter.Parked)); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Put(t.Context(), letter("d", deadletter.Dead)); !errors.Is(err, deadletter.ErrFull) {
		t.Errorf("beyond the bound: %v", err)
	}
	if err := m.Put(t.Context(), letter("b", deadletter.Dead)); err != nil {
		t.Errorf("a replacement at the bound: %v", err)
	}
	if err := m.Put(t.Context(), &deadletter.Letter{}); err == nil {
		t.Error("a letter without an id was taken")
	}
	for want, q := range map[string]deadletter.Query{
		"[a b c]": {}, "[b]": {State: deadletter.Dead}, "[c]": {State: deadletter.Parked, After: "a"},
		"[a b]": {Limit: 2, Owner: "o", Filter: "t/+"}, "[]": {Owner: "x"},
	} {
		if got := fmt.Sprint(idsOf(t, m, q)); got != want {
			t.Errorf("%+v: %s, want %s", q, got, want)
		}
	}
	l, err := m.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	l.Payload[0], l.Headers[0].Key = 'x', "x"
	if again, _ := m.Get(t.Context(), "a"); string(again.Payload) != "a" || again.Headers[0].Key != "k" {
		t.Error("a reader changed the store")
	}
	if s, _ := m.Stats(t.Context()); s.Dead != 1 || s.Parked != 2 || s.Max != 3 || s.Bytes == 0 {
		t.Errorf("%+v", s)
	}
	if err := m.Delete(t.Context(), "a", "gone"); err != nil {
		t.Error(err)
	}
	if _, err := m.Get(t.Context(), "a"); !errors.Is(err, deadletter.ErrNotFound) {
		t.Error(err)
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	var dead []*deadletter.Letter
	for i := range 250 { // pages
		dead = append(dead, letter(fmt.Sprintf("0%03d", i), deadletter.Dead))
	}
	m := filled(t, append(dead, letter("0parked", deadletter.Parked))...)
	var got []string
	n, err := deadletter.Replay(t.Context(), m, func(_ context.Context, l *deadletter.Letter) error {
		got = append(got, l.ID)
		if l.Retain || l.Header("k") != l.ID || l.Topic != "t/"+l.ID {
			t.Errorf("%+v", l)
		}
		var ids deadletter.IDs // a replay that fails comes back as a new letter
		id, _ := ids.New()
		return m.Put(t.Context(), letter(id, deadletter.Dead))
	})
	if err != nil || n != 250 || !slices.IsSorted(got) {
		t.Errorf("%d replayed: %v", n, err)
	}
	if s, _ := m.Stats(t.Context()); s.Dead != 250 || s.Parked != 1 {
		t.Errorf("%+v", s)
	}
}

func TestReplayStops(t *testing.T) {
	t.Parallel()
	m := filled(t, letter("a", deadletter.Dead), letter("b", deadletter.Dead), letter("c", deadletter.Parked))
	down := errors.New("down")
	publish := func(_ context.Context, l *deadletter.Letter) error {
		if l.ID == "b" {
			return down
		}
		return nil
	}
	if n, err := deadletter.Replay(t.Context(), m, publish); n != 1 || !errors.Is(err, down) {
		t.Errorf("%d, %v", n, err)
	}
	if ids := idsOf(t, m, deadletter.Query{}); !slices.Equal(ids, []string{"b", "c"}) {
		t.Errorf("%v left", ids)
	}
	if _, err := deadletter.Replay(t.Context(), m, publish, "c"); !errors.Is(err, deadletter.ErrParked) {
		t.Error(err)
	}
	if _, err := deadletter.Replay(t.Context(), m, publish, "gone"); !errors.Is(err, deadletter.ErrNotFound) {
		t.Error(err)
	}
	broken := brokenStore{m}
	if n, err := deadletter.Replay(t.Context(), broken, func(context.Context, *deadletter.Letter) error { return nil }, "b"); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

type brokenStore struct{ *deadletter.Memory }

func (brokenStore) Delete(context.Context, ...string) error { return errors.New("disk") }

func TestDelete(t *testing.T) {
	t.Parallel()
	m := filled(t, letter("a", deadletter.Dead), letter("b", deadletter.Parked), letter("c", deadletter.Dead))
	if n, err := deadletter.Delete(t.Context(), m, "a", "gone"); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := deadletter.Delete(t.Context(), m); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := deadletter.Delete(t.Context(), m, "b"); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestIDsGrow(t *testing.T) {
	t.Parallel()
	var g deadletter.IDs
	g.After("ffffffff-ffff-7fff-bfff-ffff0000ff00") // of a clock that went back
	g.After("no id")
	last := "ffffffff-ffff-7fff-bfff-ffff0000ff00"
	for range 1000 {
		id, err := g.New()
		if err != nil || id <= last {
			t.Fatalf("%s after %s: %v", id, last, err)
		}
		last = id
	}
}
