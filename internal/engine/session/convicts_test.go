package session

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// frameOf is a PUBLISH of QoS 1 on MQTT 3.1.1.
func frameOf(topic string, payload int, retain bool) []byte {
	first := byte(0x32)
	if retain {
		first |= 1
	}
	body := append([]byte{0, byte(len(topic))}, topic...)
	body = append(append(body, 0x80, 0), make([]byte, payload)...)
	return append([]byte{first, byte(len(body))}, body...)
}

// What the broker ended a connection over is not sent again for a while, nor
// what is larger; anything else is.
func TestConvictsAreHeldBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		v := make(convicts)
		loss := &event.LossError{Cause: event.CausePublish, Err: errors.New("EOF")}
		convict := func() {
			v.add(frameOf("bad", 20, false), convicted(opPublish, "", loss), time.Now())
		}
		size := len(frameOf("bad", 20, false))
		held := func(m Message, size int) bool {
			err := v.check(&m, size)
			var e *Error
			if err != nil && (!errors.As(err, &e) || e.Reason != ReasonRefused || e.Convicted || e.MayHaveBeenSent) {
				t.Errorf("%+v", e)
			}
			return err != nil
		}
		convict()
		for _, tt := range []struct {
			name string
			m    Message
			size int
			want bool
		}{
			{"the same", Message{Topic: "bad", QoS: 1}, size, true},
			{"larger", Message{Topic: "bad", QoS: 1}, size + 1, true},
			{"at QoS 0, without an identifier", Message{Topic: "bad"}, size - 2, true},
			{"smaller", Message{Topic: "bad", QoS: 1}, size - 1, false},
			{"retained", Message{Topic: "bad", QoS: 1, Retain: true}, size, false},
			{"another topic", Message{Topic: "good", QoS: 1}, size, false},
		} {
			if got := held(tt.m, tt.size); got != tt.want {
				t.Errorf("%s: held back %t", tt.name, got)
			}
		}
		for hold := firstHold; hold <= longestHold; hold *= 2 {
			<-time.After(hold - time.Millisecond)
			if !held(Message{Topic: "bad", QoS: 1}, size) {
				t.Errorf("tried again before %v", hold)
			}
			<-time.After(time.Millisecond)
			if held(Message{Topic: "bad", QoS: 1}, size) {
				t.Errorf("held back after %v", hold)
			}
			convict()
		}
	})
}

func TestConvictsAreBounded(t *testing.T) {
	t.Parallel()
	v := make(convicts)
	now := time.Now()
	loss := &event.LossError{Cause: event.CausePublish}
	for i := range maxConvicts + 10 {
		topic := string(rune('a'+i%26)) + string(rune('a'+i/26%26)) + string(rune('a'+i/676))
		v.add(frameOf(topic, 1, false), convicted(opPublish, "", loss), now.Add(time.Duration(i)))
	}
	if len(v) != maxConvicts {
		t.Errorf("%d topics", len(v))
	}
	if v["aaa"] != nil {
		t.Error("the oldest is still there")
	}
}
