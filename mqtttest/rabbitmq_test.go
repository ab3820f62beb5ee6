package mqtttest_test

import "testing"

func TestRabbitMQGrantsButDoesNotServeSharedSubscriptions(t *testing.T) {
	t.Parallel()
	b := rabbit.Broker(t)
	if b.Features().SharedSubscriptions {
		t.Fatal("shared subscriptions are said to work")
	}
	c := dial(t, b.URL(), "shared")
	c.subscribe(t, "$share/g/shared/a", 1)
	c.subscribe(t, "shared/b", 1)
	c.publish(t, "shared/a", 1, "x")
	c.publish(t, "shared/b", 1, "y")
	c.expect(t, "shared/b y")
}
