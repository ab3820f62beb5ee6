package main

import (
	"context"
	"log"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"google.golang.org/protobuf/proto"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
)

const (
	batchSize = 200
	batchWait = 2 * time.Millisecond
)

// saver stores messages in batches and acknowledges them after the commit.
type saver struct {
	store    *store
	messages chan paho.Message
}

func newSaver(s *store) *saver { return &saver{store: s, messages: make(chan paho.Message, 1000)} }

func (s *saver) add(m paho.Message) { s.messages <- m }

func (s *saver) run(ctx context.Context) {
	for {
		batch := s.collect(ctx)
		if len(batch) == 0 {
			return
		}
		for s.save(ctx, batch) != nil && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// collect returns the messages that arrive within the wait after the first one.
func (s *saver) collect(ctx context.Context) (batch []paho.Message) {
	select {
	case m := <-s.messages:
		batch = append(batch, m)
	case <-ctx.Done():
		return nil
	}
	wait := time.NewTimer(batchWait)
	defer wait.Stop()
	for len(batch) < batchSize {
		select {
		case m := <-s.messages:
			batch = append(batch, m)
		case <-wait.C:
			return batch
		}
	}
	return batch
}

func (s *saver) save(ctx context.Context, batch []paho.Message) error {
	var events []*reportv1.RealTimeWarehousingData
	var statuses []*reportv1.AcceptStatusReportData
	for _, m := range batch {
		if m.Topic() == topicUser {
			status := new(reportv1.AcceptStatusReportData)
			if err := proto.Unmarshal(m.Payload(), status); err != nil || status.EventId == "" {
				log.Printf("dropped a message of topic %q: it is not a report", m.Topic())
				continue
			}
			statuses = append(statuses, status)
			continue
		}
		event := new(reportv1.RealTimeWarehousingData)
		err := proto.Unmarshal(m.Payload(), event)
		if err == nil {
			_, err = time.Parse(time.RFC3339Nano, event.CreateTime)
		}
		if err != nil || event.EventId == "" {
			log.Printf("dropped a message of topic %q: it is not a report", m.Topic())
			continue
		}
		events = append(events, event)
	}
	if err := s.store.save(ctx, events, statuses); err != nil {
		log.Printf("save: %v", err)
		return err
	}
	for _, m := range batch {
		m.Ack()
	}
	return nil
}
