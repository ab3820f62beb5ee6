package console

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// WantsPayloads implements event.PayloadSwitch: while a page shows live messages.
func (r *Recorder) WantsPayloads() bool { return r.live.watched() }

// OnArrival implements event.ArrivalHook.
func (r *Recorder) OnArrival(info event.ArrivalInfo) {
	r.live.show(&seen{direction: process, Delivery: info.Delivery, message: info.Message, duplicate: info.Duplicate, id: info.ID}, r.now())
}

// published shows a publish.
func (r *Recorder) published(info *event.PublishInfo, now time.Time) {
	s := &seen{direction: send, err: textOf(info.Err), id: info.ID, Delivery: event.Delivery{
		Template: info.Template, Operation: info.Operation, Topic: info.Topic, QoS: info.QoS, Size: info.Size,
	}}
	if info.Message != nil {
		s.message = *info.Message
	}
	s.message.Retain = info.Retain
	r.live.show(s, now)
}
