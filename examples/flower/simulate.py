"""The same in a simulation: python simulate.py [STRATEGY [ROUNDS]]. The last client lies."""

import sys

from app import main, train
from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

from varangian.flower import attack_mod

CLIENTS = 5
HERE = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": 2}}


def simulate(strategy="robust", rounds=3, lie="nan"):
    """Run the clients in Ray."""
    client = ClientApp(mods=[attack_mod(lie, clients={CLIENTS - 1})])
    client.train()(train)
    server = ServerApp()

    @server.main()
    def run(grid, context):
        told = {"strategy": strategy, "rounds": rounds}
        main(grid, Context(context.run_id, context.node_id, {}, RecordDict(), told))

    run_simulation(server, client, CLIENTS, backend_config=HERE)


if __name__ == "__main__":
    simulate(*sys.argv[1:2], *map(int, sys.argv[2:3]))
