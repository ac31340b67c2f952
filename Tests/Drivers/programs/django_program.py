"""Django: migrations' schema editor, the ORM, transactions, server-side cursors, introspection."""

import os
import sys

import django
from django.apps import AppConfig
from django.conf import settings
from say import rows


class Matrix(AppConfig):
    name = "__main__"
    label = "matrix"


settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"],
            "USER": os.environ["PGUSER"], "HOST": os.environ["PGHOST"], "PORT": os.environ["PGPORT"],
            "CONN_MAX_AGE": None,
            "OPTIONS": {"server_side_binding": sys.argv[2] == "server"} if len(sys.argv) > 2 else {},
        }
    },
    INSTALLED_APPS=["__main__.Matrix"], USE_TZ=True, TIME_ZONE="UTC", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402
from django.db import IntegrityError, ProgrammingError, connection, models, transaction  # noqa: E402
from django.db.models import Count, F, Q, Sum, Window  # noqa: E402
from django.db.models.functions import Lower, RowNumber  # noqa: E402


class Author(models.Model):
    name = models.TextField(unique=True)

    class Meta:
        app_label = "matrix"


class Book(models.Model):
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    title = models.CharField(max_length=50, null=True)
    price = models.DecimalField(max_digits=8, decimal_places=2, default=0)
    tags = ArrayField(models.TextField(), default=list)
    extra = models.JSONField(default=dict)
    read = models.BooleanField(default=False)

    class Meta:
        app_label = "matrix"
        indexes = [models.Index(fields=["title"], name="django_title")]


def main():
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS matrix_book, matrix_author")
    with connection.schema_editor() as editor:
        editor.create_model(Author)
        editor.create_model(Book)
    ann, bob = Author.objects.create(name="Ann"), Author.objects.create(name="Bob")
    Book.objects.bulk_create([
        Book(author=ann, title="A", price="1.50", tags=["x", "y"], extra={"pages": 7}),
        Book(author=ann, title="héllo ✈", extra={"pages": None}), Book(author=bob, title=None, price="-2.25"),
    ])
    for _ in range(3):
        rows("books", Book.objects.order_by("id").values_list("id", "title", "price", "tags", "extra", "read"))
        rows("joined", Book.objects.filter(author__name="Ann").order_by("id").values_list("title", "author__name"))
        rows("counted", Author.objects.annotate(n=Count("books"), total=Sum("books__price")).order_by("name").values_list("name", "n", "total"))
        rows("array", Book.objects.filter(tags__contains=["x"]).values_list("title"))
        rows("json", Book.objects.filter(extra__pages=7).values_list("title"))
        rows("or", Book.objects.filter(Q(title="A") | Q(title__isnull=True)).order_by("id").values_list("id"))
        rows("window", Book.objects.annotate(n=Window(RowNumber(), order_by=F("id").desc())).order_by("id").values_list("n"))
        print(Book.objects.filter(price__gt=0).exists(), Author.objects.get(name="Bob").books.count())
        print([len(author.books.all()) for author in Author.objects.prefetch_related("books").order_by("id")])
    print(Book.objects.filter(author=ann).update(price=F("price") + 1, title=Lower("title")))
    rows("updated", Book.objects.order_by("id").values_list("title", "price"))
    print(Author.objects.get_or_create(name="Cat")[1], Author.objects.update_or_create(name="Cat")[1])
    try:
        with transaction.atomic():
            Book.objects.all().delete()
            print(Book.objects.count())
            with transaction.atomic():
                Author.objects.create(name="Ann")
    except IntegrityError as error:
        print(type(error).__name__, error.__cause__.sqlstate)
    print(Book.objects.count())
    with transaction.atomic():
        print(Author.objects.select_for_update().get(name="Ann").name)
        transaction.on_commit(lambda: print("committed"))
    try:
        Author.objects.raw("SELECT * FROM no_such_table")[0]
    except ProgrammingError as error:
        print(error.__cause__.sqlstate)
    rows("iterated", [(book.title,) for book in Book.objects.order_by("id").iterator(chunk_size=2)])
    rows("raw", [(author.name,) for author in Author.objects.raw("SELECT * FROM matrix_author ORDER BY id")])
    with connection.cursor() as cursor:
        print([table.name for table in connection.introspection.get_table_list(cursor) if table.name.startswith("matrix")])
        print(sorted(connection.introspection.get_constraints(cursor, "matrix_book")))
        print([(field.name, field.type_code) for field in connection.introspection.get_table_description(cursor, "matrix_book")])
    with connection.schema_editor() as editor:
        field = models.IntegerField(default=5)
        field.set_attributes_from_name("pages")
        editor.add_field(Book, field)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pages, title FROM matrix_book ORDER BY id")
        rows("altered", cursor.fetchall())
    ann.delete()
    print(Book.objects.count())
    with connection.schema_editor() as editor:
        editor.delete_model(Book)
        editor.delete_model(Author)
    connection.close()


main()
