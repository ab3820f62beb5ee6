package engine

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/internal/printable"
)

// deadLetter is a CloudEvents event in structured JSON, the one form that MQTT
// 3.1.1 can carry [CloudEvents MQTT binding 1.0.2, section 3.2].
type deadLetter struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject"` // the original topic
	Time        time.Time `json:"time"`
	Reason      string    `json:"reason"`
	Attempts    int       `json:"attempts"`
	QoS         byte      `json:"qos"`
	Data        []byte    `json:"data_base64"` // the original payload
}

const deadLetterType = "kratosmqtt.deadletter.v1"

// maxReason keeps an error text from making a dead letter too large.
const maxReason = 1 << 10

// letter is what stays the same while a dead letter is tried again.
type letter struct {
	id   string
	time time.Time
}

// deadLetter publishes a message that no retry helps. Only when this returned
// nil may the message be acknowledged.
func (r *run) deadLetter(ctx context.Context, d *Delivery, cause error, attempts int) error {
	c := r.client
	if d.letter == nil {
		l, err := r.newLetter(ctx, d, cause)
		if err != nil {
			return err
		}
		d.letter = l
	}
	if d.Topic == c.cfg.DeadLetterTopic {
		c.log.Errorf("mqtt: a dead letter failed again and is given up: topic %q, %d attempts: %v", d.Topic, attempts, cause)
		return nil
	}
	payload, err := json.Marshal(deadLetter{
		SpecVersion: "1.0", ID: d.letter.id, Source: "/" + c.cfg.Service, Type: deadLetterType,
		Subject: d.Topic, Time: d.letter.time, Reason: printable.Line(shorten(cause.Error())), Attempts: attempts, QoS: d.QoS, Data: d.Payload,
	})
	if err != nil {
		return err
	}
	if err := r.pubs.of(c.cfg.DeadLetterTopic).Publish(ctx, &Message{Topic: c.cfg.DeadLetterTopic, Payload: payload, QoS: 1}); err != nil {
		return err
	}
	c.log.Errorf("mqtt: dead-lettered to %q as %s: topic %q, %d attempts: %v", c.cfg.DeadLetterTopic, d.letter.id, d.Topic, attempts, cause)
	return nil
}

// newLetter tells the subscription, once for a message.
func (r *run) newLetter(ctx context.Context, d *Delivery, cause error) (*letter, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	if f := d.sub.OnDeadLetter; f != nil {
		r.client.hook(func() { f(ctx, d, cause) })
	}
	return &letter{id.String(), time.Now().UTC()}, nil
}

func shorten(reason string) string {
	if len(reason) > maxReason {
		return strings.ToValidUTF8(reason[:maxReason], "")
	}
	return reason
}
