"""Handwritten digits, dealt to clients some of whom lie, learnt with Flower under a robust rule.

    flwr run . CONNECTION --stream                             # a SuperLink and its SuperNodes, over TLS
    flwr run . CONNECTION --run-config "strategy='FedAvg'"     # the same, by Flower's own strategy

A SuperNode that is started with --node-config "partition-id=4 num-partitions=5 lie='nan'" lies.
"""

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp, strategy
from sklearn.datasets import load_digits

PIXELS, DIGITS = load_digits(return_X_y=True)
PIXELS, TRAINING = np.hstack([PIXELS / 16, np.ones((len(PIXELS), 1))]), 1400


def lie(message, context, call_next):
    """Lie, on a node that is told to."""
    if "lie" not in context.node_config:
        return call_next(message, context)
    from varangian.flower import attack_mod  # here, so that honest nodes start faster

    return attack_mod(context.node_config["lie"], factor=10.0)(message, context, call_next)


client = ClientApp(mods=[lie])


@client.train()
def train(message, context):
    """Take some steps of softmax regression on this client's part of the digits."""
    mine = slice(context.node_config["partition-id"], TRAINING, context.node_config["num-partitions"])
    x, y = PIXELS[mine], np.eye(10)[DIGITS[mine]]
    w = message.content["arrays"]["w"].numpy()
    for _ in range(100):
        p = np.exp(x @ w - (x @ w).max(1, keepdims=True))
        w = w - 0.5 * x.T @ (p / p.sum(1, keepdims=True) - y) / len(x)
    arrays = ArrayRecord({"w": Array(w.astype(np.float32))})
    return Message(RecordDict({"a": arrays, "m": MetricRecord({"num-examples": len(x)})}), reply_to=message)


server = ServerApp()


@server.main()
def main(grid, context):
    """Train, and tell how many of the other digits are recognised."""
    import varangian as vg
    from varangian.flower import RobustStrategy

    name, nodes = context.run_config["strategy"], {"fraction_evaluate": 0.0, "min_available_nodes": 5}
    rule = vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1))
    chosen = RobustStrategy(rule, **nodes) if name == "robust" else getattr(strategy, name)(**nodes)
    arrays = ArrayRecord({"w": Array(np.zeros((PIXELS.shape[1], 10), np.float32))})
    result = chosen.start(grid, arrays, num_rounds=context.run_config["rounds"], timeout=120)
    right = (PIXELS[TRAINING:] @ result.arrays["w"].numpy()).argmax(1) == DIGITS[TRAINING:]
    print(f"{name}: accuracy {right.mean():.1%}", flush=True)
