package faultmatrix_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// spy records the calls of all hooks of one client.
type spy struct {
	said *transcript

	mu         sync.Mutex
	connects   []stamped[event.ConnectAttemptInfo] // accepted
	failures   []stamped[event.ConnectAttemptInfo] // not accepted
	losses     []stamped[event.ConnectionLostInfo]
	forgotten  []event.SessionLostInfo
	subscribes []event.SubscribeInfo
	letters    []event.DeadLetterInfo
	gaps       []event.GapInfo

	full, unmatched     atomic.Int64
	illFormed           atomic.Int64
	published, unsent   atomic.Int64 // publishes that returned nil, and that returned an error
	attempts, duplicate atomic.Int64
}

// stamped is the argument of a hook, and the time of the call.
type stamped[I any] struct {
	at   time.Time
	info I
}

func (s *spy) tell(v any, note func()) {
	s.said.value(v)
	s.mu.Lock()
	defer s.mu.Unlock()
	note()
}

func (s *spy) OnConnectAttempt(i event.ConnectAttemptInfo) {
	s.tell(i, func() {
		if _ = s.said.err(i.Err); i.Err != nil {
			s.failures = append(s.failures, stamped[event.ConnectAttemptInfo]{time.Now(), i})
			return
		}
		s.connects = append(s.connects, stamped[event.ConnectAttemptInfo]{time.Now(), i})
	})
}

func (s *spy) OnConnectionLost(i event.ConnectionLostInfo) {
	_ = s.said.err(i.Err)
	s.tell(i, func() { s.losses = append(s.losses, stamped[event.ConnectionLostInfo]{time.Now(), i}) })
}

func (s *spy) OnSessionLost(i event.SessionLostInfo) {
	s.tell(i, func() { s.forgotten = append(s.forgotten, i) })
}

func (s *spy) OnSubscribe(i event.SubscribeInfo) {
	_ = s.said.err(i.Err)
	s.tell(i, func() { s.subscribes = append(s.subscribes, i) })
}

func (s *spy) OnDeadLetter(i event.DeadLetterInfo) {
	_ = s.said.err(i.Err)
	i.Topic = strings.Clone(i.Topic) // it is part of the message, like the topic of the error
	if i.Err != nil {
		i.Err = errors.New(i.Err.Error())
	}
	s.tell(i, func() { s.letters = append(s.letters, i) })
}

func (s *spy) OnGap(i event.GapInfo) {
	s.tell(i, func() { s.gaps = append(s.gaps, i) })
}

func (s *spy) OnPublish(i event.PublishInfo) {
	if i.Err == nil {
		s.published.Add(1)
		return
	}
	s.unsent.Add(1)
	_ = s.said.err(i.Err)
	s.said.value(i)
}

func (s *spy) OnHandle(i event.HandleInfo) {
	s.attempts.Add(1)
	if i.Err != nil {
		_ = s.said.err(i.Err)
		s.said.value(i)
	}
}

func (s *spy) OnRetry(i event.RetryInfo)       { s.said.value(i) }
func (s *spy) OnPark(i event.ParkInfo)         { s.said.value(i) }
func (s *spy) OnOutbox(i event.OutboxInfo)     { s.said.value(i) }
func (s *spy) OnDuplicate(event.DuplicateInfo) { s.duplicate.Add(1) }

func (s *spy) OnUnhandled(i event.UnhandledInfo) {
	s.full.Add(int64(i.QueueFull))
	s.unmatched.Add(int64(i.Unmatched))
	s.illFormed.Add(int64(i.IllFormed))
}

// connected returns the times at which connections were accepted.
func (s *spy) connected() (at []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.connects {
		at = append(at, c.at)
	}
	return at
}

// refused returns the attempts to connect that failed.
func (s *spy) refused() []stamped[event.ConnectAttemptInfo] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]stamped[event.ConnectAttemptInfo](nil), s.failures...)
}

// lost returns the connections that ended.
func (s *spy) lost() []stamped[event.ConnectionLostInfo] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]stamped[event.ConnectionLostInfo](nil), s.losses...)
}

// sessionsLost returns the sessions that the broker lost.
func (s *spy) sessionsLost() []event.SessionLostInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event.SessionLostInfo(nil), s.forgotten...)
}

// refusedFilters returns the filters that were not granted.
func (s *spy) refusedFilters() (list []event.SubscribeInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.subscribes {
		if i.Err != nil {
			list = append(list, i)
		}
	}
	return list
}
