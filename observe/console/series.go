package console

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// history is the number of seconds that the charts show.
	history = 300
	// recent is the number of seconds that quantiles and ages are taken of.
	recent = 10
	// buckets is the number of buckets for durations: four for each power of two, the last for
	// four minutes and more. A quantile is at most a quarter too high.
	buckets = 112
)

// sample is one publish, or one attempt of a handler.
type sample struct {
	took, age time.Duration
	failed    bool
}

// series is what happened to one flow. The zero value is ready for use; it takes about 8 KiB.
type series struct {
	total, errors, retries, letters, parked atomic.Int64

	mu   sync.Mutex
	at   int64 // the second that is being counted, Unix time
	last [recent]second
	past [history]point
}

// second counts the samples of one second.
type second struct {
	count uint32
	age   time.Duration // the highest
	times [buckets]uint32
}

// point is a second of the past.
type point struct {
	count uint32
	p99   float32 // milliseconds
}

func (s *series) record(now time.Time, x sample) {
	s.total.Add(1)
	if x.failed {
		s.errors.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now.Unix())
	current := &s.last[s.at%recent]
	current.count++
	current.age = max(current.age, x.age)
	current.times[bucketOf(x.took)]++
}

// advance ends the seconds before now. A clock that goes back is ignored until it is where it
// was.
func (s *series) advance(now int64) {
	if now-s.at > history {
		clear(s.past[:])
		clear(s.last[:])
		s.at = now
		return
	}
	for s.at < now {
		ended := &s.last[s.at%recent]
		s.past[s.at%history] = point{ended.count, float32(quantile(&ended.times, ended.count, 0.99))}
		s.at++
		s.last[s.at%recent] = second{}
	}
}

// state returns what the page shows, with the last five minutes if whole.
func (s *series) state(now time.Time, whole bool) operationState {
	o := operationState{
		Total: s.total.Load(), Errors: s.errors.Load(), Retries: s.retries.Load(),
		DeadLetters: s.letters.Load(), Parked: s.parked.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(now.Unix())
	var sum [buckets]uint32
	var count uint32
	var age time.Duration
	for i := range s.last {
		count += s.last[i].count
		age = max(age, s.last[i].age)
		for b, n := range s.last[i].times {
			sum[b] += n
		}
	}
	o.Rate = s.past[(s.at-1)%history].count
	o.P50, o.P99, o.Age = quantile(&sum, count, 0.5), quantile(&sum, count, 0.99), milliseconds(age)
	if !whole {
		return o
	}
	o.Series = &past{Rate: make([]uint32, 0, history-1), P99: make([]float32, 0, history-1)}
	for at := s.at - history + 1; at < s.at; at++ {
		p := s.past[at%history]
		o.Series.Rate, o.Series.P99 = append(o.Series.Rate, p.count), append(o.Series.P99, p.p99)
	}
	return o
}

// bucketOf returns the bucket of a duration.
func bucketOf(d time.Duration) int {
	us := uint64(max(0, d.Microseconds()))
	if us < 4 {
		return int(us)
	}
	e := bits.Len64(us) - 1
	return min(buckets-1, 4*(e-1)+int(us>>(e-2)&3))
}

// upper returns the end of a bucket in milliseconds.
func upper(bucket int) float64 {
	if bucket < 4 {
		return float64(bucket+1) / 1000
	}
	return float64(uint64(5+bucket%4)<<(bucket/4-1)) / 1000
}

// quantile returns a quantile in milliseconds, 0 without samples.
func quantile(times *[buckets]uint32, count uint32, q float64) float64 {
	if count == 0 {
		return 0
	}
	left := int64(q * float64(count-1))
	for b, n := range times {
		if left -= int64(n); left < 0 {
			return upper(b)
		}
	}
	return upper(buckets - 1)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
