package data

import (
	"fmt"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// NewDeadLetters opens the store of the messages that no handler could handle, as
// configured; nil when they are kept as retained messages at the broker, and in a
// process that subscribes to nothing. The returned function closes it.
func NewDeadLetters(c *conf.Bootstrap, d *Data, logger log.Logger) (deadletter.Store, func(), error) {
	if c.GetServer().GetMqtt() == nil {
		return nil, func() {}, nil
	}
	letters := atMost(c.GetMqtt().GetDeadLetters().GetMaxLetters())
	switch c.DeadLettersDriver() {
	case conf.DriverSQL:
		s, err := deadlettersql.New(d.db, deadlettersql.Options{MaxLetters: letters})
		if err != nil {
			return nil, nil, fmt.Errorf("dead letters: %w", err)
		}
		return s, func() {}, nil
	case conf.DriverFile:
		return openLetters(c.Mqtt.DeadLetters.Path, letters, log.NewHelper(logger))
	}
	return nil, func() {}, nil
}

func openLetters(path string, letters int, helper *log.Helper) (deadletter.Store, func(), error) {
	s, err := deadletterfile.Open(path, deadletterfile.Options{
		MaxLetters: letters,
		// Messages are still handled then, and an operator finds the damaged file.
		OnCorrupt: func(r deadletterfile.Recovery) {
			helper.Errorf("the file of dead letters was damaged (%v): %d letters recovered, %d not; the damaged file is %s", r.Err, r.Kept, r.Lost, r.Path)
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("dead letters: %w", err)
	}
	cleanup := func() {
		if err := s.Close(); err != nil {
			helper.Errorf("close the dead letters: %v", err)
		}
	}
	return s, cleanup, nil
}
