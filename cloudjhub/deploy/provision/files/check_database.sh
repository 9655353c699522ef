# Argument: the database's URL without its password, which is in PGPASSFILE. As the hub will see it.
setpriv --reuid=jupyterhub --regid=jupyterhub --init-groups env HOME=/var/lib/jupyterhub PGPASSFILE=/etc/jupyterhub/pgpass \
    PGCONNECT_TIMEOUT=10 /opt/cloudjhub/venv/bin/python -I - "$1" <<'PYTHON'
import sys
import sqlalchemy
engine = sqlalchemy.create_engine(sys.argv[1])
try:
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("CREATE TEMPORARY TABLE cloudjhub_may_create (one integer)"))
except sqlalchemy.exc.SQLAlchemyError as error:
    words = " ".join(str(getattr(error, "orig", None) or error).split())
    sys.exit(f"The database refuses the hub: {words}")
PYTHON
