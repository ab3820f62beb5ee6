package client

import (
	"testing"

	"google.golang.org/protobuf/proto"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Unless it is set, the bound for parked messages is that of all attempts. 0 means no
// bound, and the configuration takes precedence over the code.
func TestParkMaxAttempts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		code   *int
		config *uint32
		want   int
	}{
		"unset":         {nil, nil, 0},
		"code":          {new(7), nil, 7},
		"code, none":    {new(0), nil, -1},
		"config":        {new(7), proto.Uint32(3), 3},
		"config, none":  {new(7), proto.Uint32(0), -1},
		"config, alone": {nil, proto.Uint32(5), 5},
	} {
		all, err := readPolicies(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{
			"f": {Exhausted: string(event.ExhaustedPark), ParkMaxAttempts: tt.config},
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sub := &Subscription{Filter: "f", Typed: new(Typed)}
		if tt.code != nil {
			sub.ParkMaxAttempts = ParkAttempts(*tt.code)
		}
		joined := all.policy(policyOf(sub), "f")
		joined.apply(sub)
		if sub.ParkMaxAttempts != tt.want || sub.Exhausted != event.ExhaustedPark {
			t.Errorf("%s: %d, want %d", name, sub.ParkMaxAttempts, tt.want)
		}
	}
}
