package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func ids(s *Session) (list []uint16) {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	for i := s.out.win.head; i != none; i = s.out.win.slots[i].next {
		list = append(list, s.out.win.slots[i].id)
	}
	return list
}

func puback(id uint16) []byte { return mqtttest.AckPacket(mqtttest.TypePuback, id) }

func TestCallbacksComeInTheOrderOfAcknowledgements(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, _ := attached(t, s, true)
	var (
		mu    sync.Mutex
		order []int
	)
	for i := range 100 {
		err := publishAsync(t.Context(), s, &Message{Topic: "t", QoS: 1}, func(error) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, i)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	list := ids(s)
	slices.Reverse(list) // a broker that acknowledges in reverse order
	for _, id := range list {
		feed(t, c, puback(id))
	}
	mqtttest.Eventually(t, patience, func() bool { mu.Lock(); defer mu.Unlock(); return len(order) == 100 })
	mu.Lock()
	defer mu.Unlock()
	for i, n := range order {
		if n != 99-i {
			t.Fatalf("callback %d is of message %d", i, n)
		}
	}
}

// A callback that does not return stops the publisher at the window, for every
// QoS, so that the queue of callbacks cannot exceed it.
func TestSlowCallbackSlowsThePublisher(t *testing.T) {
	t.Parallel()
	for qos := range byte(2) {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			s := direct(t, windowOf(8))
			c, _ := attached(t, s, true)
			gate := make(chan struct{})
			publish := func(ctx context.Context) error {
				return publishAsync(ctx, s, &Message{Topic: "t", QoS: qos}, func(error) { <-gate })
			}
			for range 8 {
				if err := publish(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range ids(s) {
				feed(t, c, puback(id))
			}
			// The running callback has released its room, because it may
			// publish.
			if err := publish(within(t, patience)); err != nil {
				t.Errorf("with 7 callbacks waiting, publish gives %v", err)
			}
			for _, id := range ids(s) {
				feed(t, c, puback(id))
			}
			if err := publish(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("with 8 callbacks waiting, publish gives %v", err)
			}
			close(gate)
			if err := publish(within(t, patience)); err != nil {
				t.Errorf("after they ran: %v", err)
			}
		})
	}
}

// T14 for publishing.
func TestT14_CallbackPanicIsAnEvent(t *testing.T) {
	t.Parallel()
	var j journal
	s := direct(t, windowOf(1), to(&j))
	c, _ := attached(t, s, true)
	for range 3 { // each needs the room of the one before
		if err := publishAsync(within(t, patience), s, &Message{Topic: "t", QoS: 1}, func(error) { panic("boom") }); err != nil {
			t.Fatal(err)
		}
		feed(t, c, puback(ids(s)[0]))
	}
	if e := waitEvent[CallbackPanicked](t, &j, 3); e[0].Value != "boom" || len(e[0].Stack) == 0 {
		t.Errorf("%+v", e[0])
	}
}

// A waiter that is woken and cannot use the room wakes the next.
func TestWakeUpIsNeverLost(t *testing.T) {
	t.Parallel()
	s := direct(t, windowOf(2), func(c *Config) { c.QoS2Window = 1 })
	c, _ := attached(t, s, true)
	publish := func(qos byte, payload int, result chan<- error) {
		go func() {
			m := &Message{Topic: "t", QoS: qos, Payload: make([]byte, payload)}
			result <- publishAsync(within(t, patience), s, m, func(error) {})
		}()
	}
	inLine := func(n int) {
		mqtttest.Eventually(t, patience, func() bool { s.out.mu.Lock(); defer s.out.mu.Unlock(); return len(s.out.waiters) == n })
	}
	first := make(chan error, 2)
	publish(2, 0, first)
	publish(1, 0, first)
	for range 2 {
		if err := <-first; err != nil {
			t.Fatal(err)
		}
	}
	s.out.mu.Lock()
	s.out.limits.maxPacket = 100
	qos1 := s.out.win.slots[s.out.win.head].id
	if s.out.win.slots[s.out.win.head].qos == 2 {
		qos1 = s.out.win.slots[s.out.win.tail].id
	}
	s.out.mu.Unlock()
	blocked, large, last := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	publish(2, 0, blocked) // waits because the QoS 2 limit is reached
	inLine(1)
	publish(1, 1000, large) // too large for the room that becomes free
	inLine(2)
	publish(1, 0, last)
	inLine(3)
	feed(t, c, puback(qos1))
	if err := <-large; event.ReasonOf(err) != event.ReasonTooLarge {
		t.Fatal(err)
	}
	select {
	case err := <-last:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("room is free and the last in line is not told")
	}
	for _, id := range ids(s) { // makes room for the QoS 2 message
		feed(t, c, puback(id), mqtttest.AckPacket(mqtttest.TypePubrec, id), mqtttest.AckPacket(mqtttest.TypePubcomp, id))
	}
	if err := <-blocked; err != nil {
		t.Fatal(err)
	}
}

// Waiting publishers are served first come, first served, and a new one does
// not overtake them.
func TestLineIsFair(t *testing.T) {
	t.Parallel()
	s := direct(t, windowOf(1))
	c, _ := attached(t, s, true)
	const n = 20
	served := make(chan int, n)
	for i := range n {
		go func() {
			if publishAsync(within(t, patience), s, &Message{Topic: "t", QoS: 1}, func(error) {}) == nil {
				served <- i
			}
		}()
		if i == 0 {
			if got := <-served; got != 0 {
				t.Fatal(got)
			}
			continue
		}
		mqtttest.Eventually(t, patience, func() bool { s.out.mu.Lock(); defer s.out.mu.Unlock(); return len(s.out.waiters) == i })
	}
	for i := 1; i < n; i++ {
		feed(t, c, puback(ids(s)[0]))
		if got := <-served; got != i {
			t.Fatalf("publisher %d served, want %d", got, i)
		}
	}
}

func TestGivingUpInLineLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := direct(t, windowOf(1))
	c, _ := attached(t, s, true)
	if err := publishAsync(t.Context(), s, &Message{Topic: "t", QoS: 1}, func(error) {}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			err := s.Publish(within(t, 20*time.Millisecond), &Message{Topic: "t", QoS: 1})
			if e := asErrorQuiet(err); e == nil || e.Reason != event.ReasonTimeout || e.MayHaveBeenSent {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	s.out.mu.Lock()
	left := len(s.out.waiters)
	s.out.mu.Unlock()
	if left != 0 {
		t.Fatalf("%d left in line", left)
	}
	feed(t, c, puback(ids(s)[0]))
	if err := publishAsync(within(t, patience), s, &Message{Topic: "t", QoS: 1}, func(error) {}); err != nil {
		t.Error(err)
	}
}

func asErrorQuiet(err error) *event.Error {
	if e, ok := errors.AsType[*event.Error](err); ok {
		return e
	}
	return nil
}
