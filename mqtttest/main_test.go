package mqtttest_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// rabbit is shared: a node takes ten seconds to start.
var rabbit = mqtttest.NewSharedRabbitMQ()

func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbit.Main(m)) }
