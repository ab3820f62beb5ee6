package server

import (
	"context"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// DeadLetter is a CloudEvent in structured JSON.
type DeadLetter struct {
	ID       string    `json:"id"`      // of the dead letter, UUIDv7
	Topic    string    `json:"subject"` // that the message was published on
	Payload  []byte    `json:"data_base64"`
	QoS      byte      `json:"qos"`
	Reason   string    `json:"reason"` // the last error
	Attempts int       `json:"attempts"`
	Time     time.Time `json:"time"`
}

func registerDeadLetters(srv *mqttserver.Server, store Letters) error {
	return mqttserver.RegisterSubscriber(srv, context.Background(), "dead-letter/reports/+/+",
		func(ctx context.Context, _ string, _ broker.Headers, l *DeadLetter) error { return store.Keep(ctx, l) },
		mqttbroker.WithSubscribeCodec("json"))
}

// Letters is where a service keeps its dead letters.
type Letters interface {
	Keep(ctx context.Context, l *DeadLetter) error
}

// letters are taken out by the test.
type letters chan *DeadLetter

func (s letters) Keep(_ context.Context, l *DeadLetter) error {
	s <- l
	return nil
}
