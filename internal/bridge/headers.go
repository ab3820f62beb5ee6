package bridge

import (
	"sync"
	"sync/atomic"

	"github.com/go-kratos/kratos/v2/log"
)

// headerNotice counts messages whose headers MQTT 3.1.1 cannot carry, and says
// so once: never silent, never a flood.
type headerNotice struct {
	count atomic.Int64
	once  sync.Once
}

func (n *headerNotice) lost(l *log.Helper, topic string) {
	n.count.Add(1)
	n.once.Do(func() {
		l.Warnf("mqtt: headers are not sent: MQTT 3.1.1 has no place for them (first on topic %q)", topic)
	})
}
