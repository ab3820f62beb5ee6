package main

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

// The limits of the probes are configurable, and without a configuration an outbox covers
// for the broker.
func TestHealthLimits(t *testing.T) {
	if got, want := newHealthLimits(nil), (observe.Limits{OutboxCovers: true}); got != want {
		t.Errorf("default %+v", got)
	}
	got := newHealthLimits(&conf.Health{
		Certificate: durationpb.New(time.Hour), OutboxAge: durationpb.New(2 * time.Second), MessageAge: durationpb.New(3 * time.Second),
		LettersLost: durationpb.New(6 * time.Second), Losses: new(uint32(4)), LossesWithin: durationpb.New(5 * time.Second), OutboxCovers: new(false),
	})
	want := observe.Limits{Certificate: time.Hour, OutboxAge: 2 * time.Second, MessageAge: 3 * time.Second, LettersLost: 6 * time.Second, Losses: 4, LossesWithin: 5 * time.Second}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
