"""SQLAlchemy: Core and ORM over psycopg2, psycopg 3, asyncpg and pg8000; reflection."""

import asyncio
import os
import sys

import sqlalchemy as sa
from say import rows
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

URL = "postgresql+{}://{PGUSER}@{PGHOST}:{PGPORT}/{PGDATABASE}"


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "alchemy_author"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(sa.Text)
    books: Mapped[list["Book"]] = relationship(order_by="Book.id", back_populates="author")


class Book(Base):
    __tablename__ = "alchemy_book"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    author_id: Mapped[int] = mapped_column(sa.BigInteger, sa.ForeignKey("alchemy_author.id"))
    title: Mapped[str | None] = mapped_column(sa.Text)
    price: Mapped[float | None] = mapped_column(sa.Double)
    author: Mapped[Author] = relationship(back_populates="books")


def fill(session):
    session.add_all([
        Author(id=1, name="Ann", books=[Book(id=1, title="A", price=1.5), Book(id=2, title="héllo ✈")]),
        Author(id=2, name="Bob", books=[Book(id=3, title=None, price=-2.0)]),
    ])
    session.commit()


def common(driver):
    print("==", driver)
    engine = sa.create_engine(URL.format(driver, **os.environ))
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        fill(session)
    for _ in range(3):
        with Session(engine) as session:
            for author in session.scalars(sa.select(Author).options(selectinload(Author.books)).order_by(Author.id)):
                rows(author.name, [(book.id, book.title, book.price) for book in author.books])
            rows("joined", session.execute(
                sa.select(Author.name, sa.func.count(Book.id)).join(Book).group_by(Author.name).order_by(Author.name)
            ))
            print(session.get(Book, 2).title, session.get(Author, 99))
    with Session(engine) as session:
        session.get(Book, 1).title = "changed"
        session.flush()
        with session.begin_nested() as nested:
            session.execute(sa.delete(Book))
            rows("none", session.execute(sa.select(sa.func.count()).select_from(Book)))
            nested.rollback()
        rows("changed", session.execute(sa.select(Book.title).order_by(Book.id)))
        session.rollback()
        rows("as before", session.execute(sa.select(Book.title).order_by(Book.id)))
    for statement in ("SELECT * FROM no_such_table", "INSERT INTO alchemy_author VALUES (1, 'again')"):
        with engine.connect() as connection:
            try:
                connection.execute(sa.text(statement))
            except sa.exc.DBAPIError as error:
                print(type(error).__name__)
    Base.metadata.drop_all(engine)
    engine.dispose()


def full(driver):
    engine = sa.create_engine(URL.format(driver, **os.environ))
    inspector = sa.inspect(engine)
    print(sorted(inspector.get_table_names()), sorted(inspector.get_view_names()))
    for table in ("parent", "child", "every_type"):
        print([(column["name"], str(column["type"]), column["nullable"]) for column in inspector.get_columns(table)])
        print(inspector.get_pk_constraint(table), inspector.get_foreign_keys(table))
        print(inspector.get_indexes(table), inspector.get_unique_constraints(table), inspector.get_check_constraints(table))
    parent = sa.Table("parent", sa.MetaData(), autoload_with=engine)
    with engine.begin() as connection:
        found = connection.execute(sa.insert(parent).returning(parent.c.name, parent.c.note), [{"name": f"n{n}"} for n in range(3)])
        rows("returning", sorted(found))
        connection.execute(sa.delete(parent).where(parent.c.name.like("n%")))
        with connection.execution_options(yield_per=5).execute(sa.select(parent.c.id).where(parent.c.id <= 20).order_by(parent.c.id)) as result:
            rows("streamed", result)
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as connection:
        print(connection.scalar(sa.text("SELECT current_setting('transaction_isolation')")))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        print(connection.scalar(sa.text("SELECT current_setting('transaction_isolation')")))
    engine.dispose()


async def asynchronous():
    engine = create_async_engine(URL.format("asyncpg", **os.environ))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        await session.run_sync(fill)
    for _ in range(3):
        async with AsyncSession(engine) as session:
            rows("async", await session.execute(sa.select(Book.id, Book.title).order_by(Book.id)))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


if __name__ == "__main__":
    for name in ("psycopg2", "psycopg", "pg8000"):
        common(name)
        if sys.argv[1] == "full":
            full(name)
    asyncio.run(asynchronous())
