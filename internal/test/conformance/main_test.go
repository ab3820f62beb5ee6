package conformance

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

var rabbit = mqtttest.NewSharedRabbitMQ()

func TestMain(m *testing.M) { goleak.VerifyTestMain(rabbit.Main(m)) }
