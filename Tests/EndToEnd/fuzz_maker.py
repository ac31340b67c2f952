"""Random programs. The seed decides all of one."""

import dataclasses
import random

from fuzz_definitions import Definitions
from fuzz_program import BINARY, PREPARED, SIMPLE, TEXT, Operation, Program, Statement
from fuzz_queries import Queries
from fuzz_scenarios import Scenarios
from fuzz_schema import Schema
from fuzz_values import Values, redrawn, used
from fuzz_writes import Writes


class ProgramMaker(Scenarios):
    """Makes the program of a label such as `7:3` (seed 7, third round)."""

    def __init__(self, label: str, roles: list[str], operations: int):
        self.rng = random.Random(label)
        self.roles = roles
        self.schema = Schema(self.rng, roles)
        self.names = 0
        self.prepared: list[tuple[int, Statement]] = []
        made = [
            Operation("setting", 1, [Statement("SET search_path = s1, public")]),
            Operation("setting", 3, [Statement("SET search_path = s2, public, s1")]),
        ]
        while len(made) < operations:
            made += self.operation()
        self.program = Program(label, self.schema.statements, made, roles)

    def operation(self) -> list[Operation]:
        rng = self.rng
        return rng.choices(
            [self.reads, self.write, self.block, self.overlap, self.definition, self.setting,
             self.moved, self.family, self.rebound, self.rented, self.logged, self.explained],
            [38, 42, 9, 5, 4, 3, 8, 3, 4, 3, 3, 2],
        )[0]()

    def mode(self) -> str:
        return self.rng.choice([SIMPLE, SIMPLE, TEXT, TEXT, BINARY, PREPARED])

    def read(self) -> Statement:
        mode = self.mode()
        parameters = None if mode == SIMPLE else []
        select = Queries(self.rng, self.schema, Values(self.rng, parameters)).statement()
        sql, parameters = used(select.sql, parameters) if parameters else (select.sql, [])
        statement = Statement(sql, mode, parameters, select.is_ordered)
        if mode == PREPARED:
            self.names += 1
            statement.name = f"q{self.names}"
        return statement

    def reads(self) -> list[Operation]:
        rng = self.rng
        session = rng.choice([0, 0, 0, 1, 1, 2, 3])
        first = self.read()
        made = [Operation("read", session, [first])]
        if first.name:
            self.prepared.append((session, first))
        for _ in range(rng.choice([0, 1, 2]) if first.parameters else 0):
            again = dataclasses.replace(first, parameters=redrawn(rng, first.parameters))
            made.append(Operation("read", session, [again]))
        if rng.random() < 0.15:
            made.append(Operation("read", rng.choice([0, 1, 2, 3]), [first]))
        return made

    def written(self) -> Statement:
        mode = self.rng.choice([SIMPLE, SIMPLE, TEXT, BINARY])
        parameters = None if mode == SIMPLE else []
        sql = Writes(self.rng, self.schema, Values(self.rng, parameters)).statement()
        sql, parameters = used(sql, parameters) if parameters else (sql, [])
        return Statement(sql, mode, parameters)

    def writer(self) -> int:
        return self.rng.choice([4, 4, 4, 4, 0, 1, 2])

    def write(self) -> list[Operation]:
        rng = self.rng
        roll = rng.random()
        statement = self.written()
        if roll < 0.14:
            statement = Statement(self.other().unusual())
        elif roll < 0.2:
            sql, data = self.other().copy()
            statement = Statement(sql, copy=data)
        return [Operation("write", self.writer(), [statement])]

    def other(self) -> Definitions:
        return Definitions(self.rng, self.schema, Values(self.rng, None))

    def block(self) -> list[Operation]:
        rng = self.rng
        steps = []
        for _ in range(rng.randint(1, 4)):
            roll = rng.random()
            if roll < 0.35:
                steps.append(dataclasses.replace(self.read(), mode=TEXT, name=""))
            elif roll < 0.75:
                steps.append(self.written())
            elif roll < 0.85:
                steps.append(Statement(self.other().unusual()))
            else:
                inside = [self.written()]
                undo = rng.choice(
                    ["ROLLBACK TO SAVEPOINT sp", "RELEASE SAVEPOINT sp", "ROLLBACK TO sp"]
                )
                steps += [Statement("SAVEPOINT sp"), *inside, Statement(undo)]
        if rng.random() < 0.15:
            steps.insert(
                0,
                Statement(
                    rng.choice(
                        [
                            "SET LOCAL search_path = s2, public",
                            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                            "SET LOCAL TimeZone = 'Asia/Kolkata'",
                            f"SET LOCAL ROLE {rng.choice(self.roles)}",
                        ]
                    )
                ),
            )
        end = rng.choice(["COMMIT", "COMMIT", "COMMIT", "END", "ROLLBACK"])
        return [Operation("block", self.writer(), steps, end)]

    def overlap(self) -> list[Operation]:
        steps = [self.written() for _ in range(self.rng.randint(1, 2))]
        return [Operation("overlap", 4, steps, self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"]))]

    def definition(self) -> list[Operation]:
        statement = Statement(self.other().definition())
        if self.rng.random() < 0.2:
            return [
                Operation(
                    "block", 4, [statement, self.written()], self.rng.choice(["COMMIT", "ROLLBACK"])
                )
            ]
        return [Operation("write", 4, [statement])]

    def setting(self) -> list[Operation]:
        session = self.rng.choice([1, 1, 0, 3, 2])
        return [Operation("setting", session, [Statement(self.other().setting())])]
