"""What never changes in the sandbox: products, templates, accounts."""

from dataclasses import dataclass
from functools import cached_property

from connect_worker.sandbox import documents
from connect_worker.sandbox.documents import Json

#: The template with which the example of the 2019 documentation approves; the first product's.
EXAMPLE_TEMPLATE_ID = "TL-497-535-242"

VENDOR = {"id": "VA-691-879", "name": "Largo Cloud Software"}
PROVIDER = {"id": "PA-473-705", "name": "Northwind Distribution"}
HUB = {"id": "HB-1234-5678", "name": "Northwind Production Hub"}
PORTAL_USER = {"id": "UR-841-574-187", "name": "Mara Example", "email": "mara@vendor.example"}
CUSTOMER_USER = {"id": "UR-922-977-649", "name": "Tomas Example", "email": "tomas@hub.example"}

MARKETPLACES = (
    {"id": "MP-12345", "name": "France and territories", "icon": "/media/marketplaces/fr.png"},
    {"id": "MP-91673", "name": "Spain", "icon": "/media/marketplaces/es.png"},
    {"id": "MP-19898", "name": "Nordics", "icon": "/media/marketplaces/no.png"},
)

_PRODUCT_NAMES = ("Fallball Awesome", "Team Drive", "Mail Shield", "Ledger Cloud", "Backup Plus")


@dataclass(frozen=True)
class Item:
    """Something that a product sells."""

    number: int
    mpn: str
    name: str
    #: reservation, or ppu: pay per use, for which usage is reported
    item_type: str
    unit: str


ITEMS = (
    Item(1, "TEAM-USERS", "Team users", "reservation", "Users"),
    Item(2, "EXTRA-STORAGE", "Additional storage", "reservation", "Gb"),
    Item(3, "SKUA", "Compute hours", "ppu", "Hours"),
)


@dataclass(frozen=True)
class Template:
    """A text that the vendor shows when a request reaches a state."""

    id: str
    product_id: str
    name: str
    #: asset or tier1
    scope: str
    #: fulfillment, inquire or pending
    type: str
    text: str

    def render(self, request_id: str) -> str:
        """The text with the request filled in."""
        return self.text.replace("{{ request.id }}", request_id)

    def body(self) -> Json:
        """As ``products/{id}/templates`` lists it."""
        stamp = {"at": "2026-01-12T09:30:00+00:00", "by": PORTAL_USER}
        return {
            "id": self.id,
            "name": self.name,
            "body": self.text,
            "scope": self.scope,
            "type": self.type,
            "position": 10000,
            "events": {"created": stamp, "updated": stamp},
        }


@dataclass(frozen=True)
class Product:
    """A product of the vendor."""

    number: int

    @cached_property
    def id(self) -> str:
        """``PRD-…``, the same in every run."""
        return documents.product_id(self.number)

    @cached_property
    def name(self) -> str:
        """The name in the catalog."""
        round_number, place = divmod(self.number, len(_PRODUCT_NAMES))
        return _PRODUCT_NAMES[place] + (f" {round_number + 1}" if round_number else "")

    @cached_property
    def reference(self) -> Json:
        """As other objects embed it."""
        return {
            "id": self.id,
            "icon": f"/media/{VENDOR['id']}/{self.id}/logo.png",
            "name": self.name,
            "status": "published",
        }

    @cached_property
    def connection(self) -> Json:
        """The channel through which the provider orders it."""
        return {
            "id": f"CT-0000-0000-{self.number:04d}",
            "type": ("production", "test", "preview")[self.number % 3],
            "hub": HUB,
            "provider": PROVIDER,
            "vendor": VENDOR,
        }

    @cached_property
    def marketplace(self) -> Json:
        """Where it is sold."""
        return dict(MARKETPLACES[self.number % len(MARKETPLACES)])

    @cached_property
    def contract(self) -> Json:
        """The distribution contract under which it is ordered."""
        return {
            "id": documents.contract_id(9_000_000 + self.number),
            "name": f"{PROVIDER['name']} distribution agreement, {self.marketplace['name']}",
        }

    @cached_property
    def templates(self) -> tuple[Template, ...]:
        """Three for assets, three for reseller setups."""
        return tuple(self._template(place) for place in range(6))

    def _template(self, place: int) -> Template:
        scope = ("asset", "tier1")[place // 3]
        kind = ("fulfillment", "inquire", "pending")[place % 3]
        example = self.number == 0 and place == 0
        return Template(
            id=EXAMPLE_TEMPLATE_ID if example else documents.template_id(self.number * 6 + place),
            product_id=self.id,
            name=f"{self.name}: {scope} {kind}",
            scope=scope,
            type=kind,
            text=f"# {self.name}\n\nRequest {{{{ request.id }}}}: {_TEXTS[kind]}\n",
        )

    def item_id(self, item: Item) -> str:
        """``PRD-…-0001``."""
        return f"{self.id}-{item.number:04d}"

    def body(self) -> Json:
        """As ``products/{id}`` shows it."""
        stamp = {"at": "2026-01-12T09:30:00+00:00", "by": PORTAL_USER}
        return {
            **self.reference,
            "external_id": str(8000 + self.number),
            "short_description": f"{self.name} for teams of every size",
            "detailed_description": f"{self.name}, sold by the seat and by use.",
            "version": 3,
            "published_at": "2026-01-12T09:30:00+00:00",
            "configurations": {
                "suspend_resume_supported": True,
                "requires_reseller_information": True,
            },
            "customer_ui_settings": {
                "description": "",
                "getting_started": "Open the mail that we sent you.",
                "download_links": [],
                "documents": [{"title": "Manual", "url": "https://vendor.example/manual"}],
            },
            "category": {"id": "CAT-00012", "name": "Cloud Services"},
            "owner": VENDOR,
            "latest": True,
            "stats": {"versions": 3},
            "purchase_model": "direct",
            "public": True,
            "staging": False,
            "events": {"created": stamp, "published": stamp, "updated": stamp},
        }

    def configurations(self) -> list[Json]:
        """Its configuration-phase parameters, as ``products/{id}/configurations`` lists them."""
        stamp = {"at": "2026-01-12T09:30:00+00:00", "by": PORTAL_USER}
        return [
            {
                "value": value,
                "structured_value": {},
                "parameter": {
                    "id": name,
                    "name": name,
                    "title": name.replace("_", " "),
                    "description": "",
                    "type": "text",
                    "scope": scope,
                    "phase": "configuration",
                    "constraints": {"hidden": False, "required": True, "unique": False},
                },
                "marketplace": self.marketplace if scope == "marketplace" else None,
                "events": {"created": stamp, "updated": stamp},
            }
            for name, scope, value in (
                ("api_region", "product", "eu-west"),
                ("support_mail", "marketplace", f"{self.marketplace['id']}@vendor.example"),
            )
        ]


_TEXTS = {
    "fulfillment": "your service is ready.",
    "inquire": "we need one more answer from you.",
    "pending": "we are setting it up.",
}


@dataclass(frozen=True)
class Catalog:
    """All products of the run."""

    products: tuple[Product, ...]

    @cached_property
    def by_id(self) -> dict[str, Product]:
        """Products by their id."""
        return {product.id: product for product in self.products}

    @cached_property
    def templates(self) -> dict[str, Template]:
        """Templates of every product by their id."""
        return {template.id: template for p in self.products for template in p.templates}


def build_catalog(product_count: int) -> Catalog:
    """The catalog of a run: always the same products, more or fewer of them."""
    return Catalog(tuple(Product(number) for number in range(product_count)))


def tier_account(number: int, level: int) -> Json:
    """A customer (level 0) or reseller (level 1 and up) with its contact."""
    name = f"{_COMPANIES[number % len(_COMPANIES)]} {_FORMS[number % len(_FORMS)]}"
    person = _PEOPLE[number % len(_PEOPLE)]
    return {
        "id": documents.tier_account_id(number, level),
        # Connect shows this as text or as a number, as the hub sent it.
        "external_id": number if number % 4 == 0 else str(number),
        "external_uid": f"{number:08d}-3b1b-49b5-a480-b67675af4ae5",
        "name": name,
        "contact_info": {
            "address_line1": f"{1 + number % 120} Harbour Street",
            "address_line2": "",
            "city": _CITIES[number % len(_CITIES)],
            "state": "",
            "postal_code": f"{10_000 + number % 89_999}",
            "country": _COUNTRIES[number % len(_COUNTRIES)],
            "contact": {
                "first_name": person[0],
                "last_name": person[1] if number % 6 else None,
                "email": f"contact{number}@customer.example",
                "phone_number": {
                    "country_code": "+34",
                    "area_code": "91",
                    "phone_number": f"{number % 10_000_000:07d}",
                    "extension": "",
                },
            },
        },
    }


_COMPANIES = ("Blue Heron", "Cedar & Sons", "Delta Works", "Elm Street", "Fjord", "Granite")
_FORMS = ("LLC", "S.L.", "GmbH", "AS", "SARL")
_PEOPLE = (("Ada", "Moreno"), ("Björn", "Lie"), ("Chloé", "Petit"), ("Dov", "Stein"))
_CITIES = ("Madrid", "Lyon", "Bergen", "Porto", "Gdańsk")
_COUNTRIES = ("es", "fr", "no", "pt", "pl")
