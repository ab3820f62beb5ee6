package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Handlers that end at their deadline are reported as late while the dead letter of
// their message is stored: neither blocks the other.
func TestDeadLettersOfHandlersThatEndWithTheirDeadline(t *testing.T) {
	t.Parallel()
	const n = 100
	letters := deadletter.NewMemory(0)
	b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithDeadLetters(letters),
		mqttbroker.WithSubscriberConfig(&v1.Subscriber{HandlerTimeout: durationpb.New(time.Millisecond), Concurrency: 8}))
	_, err := b.Subscribe("late/#", func(ctx context.Context, _ broker.Event) error {
		<-ctx.Done()
		return errors.BadRequest("LATE", "too late")
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		publish(t, b, fmt.Sprintf("late/%d", i), "x")
	}
	mqtttest.Eventually(t, patience, func() error {
		if s, err := letters.Stats(t.Context()); err != nil || s.Dead < n {
			return fmt.Errorf("%d letters of %d, %w", s.Dead, n, err)
		}
		return nil
	})
}
